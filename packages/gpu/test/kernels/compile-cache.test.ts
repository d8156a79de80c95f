import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { CompileRequest, KernelCompiler } from '../../src/kernels/kernel-compiler.ts';
import { KernelCompileError } from '../../src/errors.ts';
import { CompileCache, defaultCacheFolder } from '../../src/kernels/compile-cache.ts';

const REQUEST: CompileRequest = { source: 'kernel', name: 'k.hip', architecture: 'gfx942', defines: { E: 128 } };

/** A compiler whose object is a function of what it is asked, and which counts its calls. */
class CountingCompiler implements KernelCompiler {
  readonly version: string;
  calls = 0;

  constructor(version = 'fake 1.0') {
    this.version = version;
  }

  options(request: CompileRequest): readonly string[] {
    return [request.architecture, ...Object.entries(request.defines).map(([name, value]) => `-D${name}=${value}`)];
  }

  compile(request: CompileRequest): Uint8Array {
    this.calls += 1;
    return new TextEncoder().encode(`${this.version} ${request.source} ${this.options(request).join(' ')}`);
  }
}

describe('CompileCache', () => {
  let folder: string;
  const warnings: string[] = [];
  const logger = { warn: (message: string) => void warnings.push(message) };

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'kernel-cache-'));
    warnings.length = 0;
  });

  afterEach(async () => {
    await chmod(folder, 0o755);
    await rm(folder, { recursive: true, force: true });
  });

  const cacheOf = (inside = folder): CompileCache => new CompileCache({ folder: inside, logger });

  it('compiles once, and reads the same bytes afterwards', async () => {
    const compiler = new CountingCompiler();
    const first = await cacheOf().compile(compiler, REQUEST);
    const second = await cacheOf().compile(compiler, REQUEST);
    assert.equal(compiler.calls, 1);
    assert.deepEqual(second, first);
    assert.deepEqual(warnings, []);
  });

  it('compiles once where calls overlap', async () => {
    const compiler = new CountingCompiler();
    const cache = cacheOf();
    await Promise.all([cache.compile(compiler, REQUEST), cache.compile(compiler, REQUEST)]);
    assert.equal(compiler.calls, 1);
  });

  it('tells sources, options and compiler versions apart', async () => {
    const compiler = new CountingCompiler();
    const cache = cacheOf();
    const variants: CompileRequest[] = [
      REQUEST,
      { ...REQUEST, source: 'other' },
      { ...REQUEST, architecture: 'gfx950' },
      { ...REQUEST, defines: { E: 256 } },
    ];
    for (const request of variants) await cache.compile(compiler, request);
    assert.equal(compiler.calls, variants.length);
    const newer = new CountingCompiler('fake 2.0');
    await cache.compile(newer, REQUEST);
    assert.equal(newer.calls, 1);
    assert.equal((await readdir(folder)).length, variants.length + 1);
  });

  it('compiles a corrupt entry again, says so, and repairs it', async () => {
    const compiler = new CountingCompiler();
    const file = cacheOf().fileOf(compiler, REQUEST);
    const code = await cacheOf().compile(compiler, REQUEST);
    const whole = await readFile(file);
    const flipped = Buffer.from(whole);
    flipped[whole.length - 1] = (flipped[whole.length - 1] ?? 0) ^ 1;
    for (const broken of [Buffer.alloc(0), whole.subarray(0, 40), whole.subarray(0, whole.length - 1), flipped]) {
      warnings.length = 0;
      const before = compiler.calls;
      await writeFile(file, broken);
      assert.deepEqual(await cacheOf().compile(compiler, REQUEST), code);
      assert.equal(compiler.calls, before + 1);
      assert.match(warnings.join(), /corrupt/);
      assert.deepEqual(await readFile(file), whole);
    }
  });

  it('goes on where the folder cannot be made', async () => {
    const blocked = path.join(folder, 'file');
    await writeFile(blocked, '');
    const compiler = new CountingCompiler();
    const code = await cacheOf(path.join(blocked, 'kernels')).compile(compiler, REQUEST);
    assert.deepEqual(code, compiler.compile(REQUEST));
    assert.match(warnings.join(), /cannot be/);
  });

  it('leaves no temporary file behind', async () => {
    await cacheOf().compile(new CountingCompiler(), REQUEST);
    assert.ok((await readdir(folder)).every((name) => name.endsWith('.bin')));
  });

  it('keeps nothing of a failed compilation, and compiles at the next call', async () => {
    const compiler = new CountingCompiler();
    const failing: KernelCompiler = {
      version: compiler.version,
      options: (request) => compiler.options(request),
      compile: () => {
        throw new KernelCompileError('gfx942', 'log', 'no');
      },
    };
    const cache = cacheOf();
    await assert.rejects(cache.compile(failing, REQUEST), KernelCompileError);
    assert.deepEqual(await readdir(folder), []);
    await cache.compile(compiler, REQUEST);
    assert.equal(compiler.calls, 1);
  });

  it('is safe under processes that compile the same kernel at once', async function () {
    this.timeout(60_000);
    const script = new URL('./compile-cache-process.ts', import.meta.url);
    const outputs = await Promise.all(
      Array.from(
        { length: 4 },
        () =>
          new Promise<string>((resolve, reject) => {
            const child = fork(script, [folder], {
              stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
            });
            let text = '';
            child.stdout?.on('data', (chunk) => (text += String(chunk)));
            child.on('error', reject);
            child.on('close', (code) => (code === 0 ? resolve(text) : reject(new Error(`exit code ${code}`))));
          }),
      ),
    );
    assert.equal(new Set(outputs).size, 1);
    assert.match(outputs[0] ?? '', /^[0-9a-f]{64}$/);
    assert.equal((await readdir(folder)).length, 20);
  });

  it('lies where the environment says', () => {
    assert.equal(defaultCacheFolder({ SWITCHYARD_CACHE_DIR: '/a' }), path.join('/a', 'kernels'));
    assert.equal(defaultCacheFolder({ XDG_CACHE_HOME: '/b' }), path.join('/b', 'switchyard', 'kernels'));
    assert.ok(defaultCacheFolder({})?.endsWith(path.join('.cache', 'switchyard', 'kernels')));
  });
});
