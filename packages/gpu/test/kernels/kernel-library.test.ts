import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { viewOf } from '../../src/driver/native-memory.ts';
import { GpuLibraryNotFoundError } from '../../src/driver/errors.ts';
import { NativeGpuDriver } from '../../src/driver/native-driver.ts';
import { CompileCache } from '../../src/kernels/compile-cache.ts';
import type { KernelCompiler } from '../../src/kernels/kernel-compiler.ts';
import { KernelLibrary } from '../../src/kernels/kernel-library.ts';
import { loadLaunch } from '../../src/kernels/launcher.ts';
import { compressArchive, packObjects } from '../../src/kernels/object-archive.ts';
import { archiveName, prebuiltLookup } from '../../src/kernels/prebuilt-objects.ts';
import { paperRuntime } from '../driver/paper-runtime.ts';

const UNIT = { name: 'scale', source: () => 'the text', defines: { WIDTH: 4 } };
const ARGUMENTS = [
  { name: 'values', type: 'pointer', doc: '' },
  { name: 'count', type: 'u32', doc: '' },
  { name: 'factor', type: 'f32', doc: '' },
] as const;

describe('KernelLibrary', () => {
  let folder: string;
  const compiled: string[] = [];
  const compiler: KernelCompiler = {
    version: 'paper 1.0',
    options: ({ architecture }) => [architecture],
    compile: ({ source, name, architecture, defines }) => {
      compiled.push(`${name} for ${architecture}: ${source} ${JSON.stringify(defines)}`);
      return new Uint8Array(64).fill(7);
    },
  };

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'kernel-library-'));
    compiled.length = 0;
  });
  afterEach(() => rm(folder, { recursive: true }));

  function writeArchive(architecture: string, objects: readonly { keys: string[]; code: Uint8Array }[]) {
    const archive = packObjects(objects.map((object) => ({ identity: 'of the text', ...object })));
    return writeFile(path.join(folder, archiveName(architecture)), compressArchive(archive));
  }

  function open(prebuilt?: (architecture: string, symbol: string) => Uint8Array | null) {
    const { runtime, log } = paperRuntime();
    const driver = new NativeGpuDriver(runtime);
    const cache = new CompileCache({ folder: path.join(folder, 'cache') });
    const library = new KernelLibrary(driver, { cache, compiler, ...(prebuilt && { prebuilt }) });
    return { driver, library, count: (call: string) => log.filter((entry) => entry.call === call).length, log };
  }

  it('compiles where what was compiled ahead of time cannot be read, and warns once', async () => {
    const { runtime } = paperRuntime();
    const warnings: string[] = [];
    const library = new KernelLibrary(new NativeGpuDriver(runtime), {
      cache: new CompileCache({ folder: path.join(folder, 'cache') }),
      compiler,
      logger: { warn: (message) => void warnings.push(message) },
      prebuilt: () => {
        throw new Error('ENOENT: no such bundle');
      },
    });
    await library.load(UNIT, 'scale_4');
    await library.load({ ...UNIT, source: () => 'another text', defines: { WIDTH: 8 } }, 'scale_8');
    assert.equal(compiled.length, 2);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /ahead of time cannot be read .*no such bundle/);
    library.dispose();
  });

  it('names the source that it lacks', async () => {
    const { library } = open();
    const source = (): string => {
      throw new Error('ENOENT: no such text');
    };
    await assert.rejects(library.load({ ...UNIT, source }, 'scale_4'), (error) => {
      assert.equal(Reflect.get(Object(error), 'code'), 'KERNEL_COMPILE_FAILED');
      assert.match(String(error), /source of the kernel scale cannot be read · .*no such text/);
      return true;
    });
  });

  it('compiles a unit for the device, and loads it once', async () => {
    const { library, count } = open();
    await library.load(UNIT, 'scale_4');
    await library.load(UNIT, 'scale_4');
    assert.deepEqual(compiled, ['scale.hip for gfx942: the text {"WIDTH":4}']);
    assert.equal(count('moduleLoad'), 1);
    await library.load({ ...UNIT, defines: { WIDTH: 8 } }, 'scale_8');
    assert.equal(count('moduleLoad'), 2);
    library.dispose();
    assert.equal(count('moduleUnload'), 2);
  });

  it('asks no compiler and no text for what was shipped', async () => {
    const object = Uint8Array.of(1, 2, 3, 4);
    await writeArchive('gfx942', [{ keys: ['scale_4'], code: object }]);
    const lookup = prebuiltLookup(pathToFileURL(`${folder}/`));
    const asked: string[] = [];
    const unit = { ...UNIT, source: () => (asked.push('source'), 'the text') };
    const { library, log } = open(lookup);
    await library.load(unit, 'scale_4');
    assert.deepEqual([compiled, asked, library.compilerVersion], [[], [], 'paper 1.0']);
    const image = log.find(({ call }) => call === 'moduleLoad')?.args[1] as bigint;
    assert.deepEqual(new Uint8Array(viewOf(image, 4)), object);
    assert.deepEqual(
      [lookup('gfx942', 'scale_8'), lookup('gfx90a', 'scale_4')],
      [null, null],
      'only what is in the archive',
    );
    await library.load({ ...unit, defines: { WIDTH: 8 } }, 'scale_8');
    assert.deepEqual(asked, ['source']);
  });

  it('loads an object once for all kernels in it', async () => {
    const object = Uint8Array.of(1, 2, 3, 4);
    const { library, count } = open(() => object);
    await library.load(UNIT, 'scale_4');
    await library.load({ ...UNIT, defines: { WIDTH: 8 } }, 'scale_8');
    assert.equal(count('moduleLoad'), 1);
    library.dispose();
    assert.equal(count('moduleUnload'), 1);
  });

  it("takes an object for a generic processor where there is none for the GPU's own, whatever its settings", async () => {
    await writeArchive('gfx1100', [{ keys: ['scale_4'], code: Uint8Array.of(0) }]);
    await writeArchive('gfx11-generic', [{ keys: ['scale_4', 'scale_8'], code: Uint8Array.of(1) }]);
    await writeArchive('gfx90a', [{ keys: ['scale_4', 'scale_8'], code: Uint8Array.of(2) }]);
    const lookup = prebuiltLookup(pathToFileURL(`${folder}/`));
    const found = (architecture: string, symbol: string) => lookup(architecture, symbol)?.[0];
    assert.deepEqual(
      [found('gfx1100', 'scale_4'), found('gfx1100', 'scale_8'), found('gfx1153', 'scale_4')],
      [0, 1, 1],
    );
    assert.deepEqual([found('gfx90a:sramecc+:xnack-', 'scale_8'), found('gfx1201', 'scale_4')], [2, undefined]);
    assert.equal(lookup('gfx1103', 'scale_4'), lookup('gfx1153', 'scale_8'), 'the same array each time');
  });

  it('compiles what the runtime does not load, and asks it once', async () => {
    const object = Uint8Array.of(1, 2, 3, 4);
    const warnings: string[] = [];
    let status = 209;
    // Of each image, while it is being loaded: nobody keeps it afterwards.
    const loaded: (number | undefined)[] = [];
    const { runtime, log } = paperRuntime({
      moduleLoad: () => {
        loaded.push(new Uint8Array(viewOf(log.at(-1)?.args[1] as bigint, 1))[0]);
        return status;
      },
    });
    const library = new KernelLibrary(new NativeGpuDriver(runtime), {
      cache: new CompileCache({ folder: path.join(folder, 'cache') }),
      compiler: () => {
        status = 0;
        return compiler;
      },
      logger: { warn: (message) => void warnings.push(message) },
      prebuilt: () => object,
    });
    await library.load(UNIT, 'scale_4');
    await library.load({ ...UNIT, source: () => 'another text', defines: { WIDTH: 8 } }, 'scale_8');
    assert.deepEqual([compiled.length, warnings.length], [2, 1]);
    assert.match(warnings[0] ?? '', /for gfx942 do not load \(.*paperError209.*\); compiling instead/);
    assert.deepEqual(loaded, [1, 7, 7]);
    library.dispose();
  });

  it('says of a kernel that is not shipped what there is to compile it with: nothing', async () => {
    const { runtime } = paperRuntime();
    const library = new KernelLibrary(new NativeGpuDriver(runtime), {
      cache: new CompileCache({ folder: path.join(folder, 'cache') }),
      compiler: () => {
        throw new GpuLibraryNotFoundError('hipRTC', ['libhiprtc.so (no such file)'], 'install it');
      },
    });
    await assert.rejects(library.load(UNIT, 'scale_4'), (error) => {
      assert.ok(error instanceof GpuLibraryNotFoundError);
      assert.equal(error.library, 'hipRTC');
      assert.match(
        error.message,
        /^No kernel scale_4 for gfx942: it is not among those compiled ahead of time, and hipRTC/,
      );
      assert.match(error.message, /tried libhiprtc\.so \(no such file\) · install hipRTC/);
      return true;
    });
  });

  it('names both where shipped kernels cannot be read and there is nothing to compile with', async () => {
    const { runtime } = paperRuntime();
    const library = new KernelLibrary(new NativeGpuDriver(runtime), {
      cache: new CompileCache({ folder: path.join(folder, 'cache') }),
      compiler: () => {
        throw new GpuLibraryNotFoundError('hipRTC', ['libhiprtc.so (no such file)'], 'install it');
      },
      prebuilt: prebuiltLookup(pathToFileURL(`${folder}/none/`)),
    });
    await assert.rejects(
      library.load(UNIT, 'scale_4'),
      /^GpuLibraryNotFoundError: No kernel scale_4 for gfx942: what was compiled ahead of time cannot be read, and hipRTC to compile/,
    );
  });

  it('warns once of objects that the runtime does not load, however many they are', async () => {
    const warnings: string[] = [];
    const { runtime } = paperRuntime({ moduleLoad: () => 209 });
    const library = new KernelLibrary(new NativeGpuDriver(runtime), {
      cache: new CompileCache({ folder: path.join(folder, 'cache') }),
      compiler,
      logger: { warn: (message) => void warnings.push(message) },
      prebuilt: () => new Uint8Array(4),
    });
    await assert.rejects(library.load(UNIT, 'scale_4'));
    await assert.rejects(library.load({ ...UNIT, defines: { WIDTH: 8 } }, 'scale_8'));
    assert.equal(warnings.length, 1);
  });

  it('gives launches that take their arguments by name', async () => {
    const { driver, library, log } = open();
    const launch = await loadLaunch(driver, library, {
      unit: UNIT,
      symbol: 'scale_4',
      arguments: ARGUMENTS,
      threadsPerBlock: 128,
    });
    launch.launch(99n, 6, { values: 0x1000n, count: 5, factor: 0.5 });
    const last = log.at(-1);
    assert.equal(last?.call, 'launch');
    assert.deepEqual(last?.args.slice(1, 10), [6, 1, 1, 128, 1, 1, 0, 99n, 0n]);
    // The `extra` list: a mark, then the address of the argument block.
    const list = new DataView(viewOf(last?.args[10] as bigint, 16));
    const block = new DataView(viewOf(list.getBigUint64(8, true), 16));
    assert.deepEqual(
      [block.getBigUint64(0, true), block.getUint32(8, true), block.getFloat32(12, true)],
      [0x1000n, 5, 0.5],
    );
  });
});
