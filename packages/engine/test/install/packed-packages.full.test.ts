import assert from 'node:assert/strict';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { emptyFolder, type Finished, must, pack, registryFault, run } from './packed-packages.ts';

const PACKAGES = ['gpu', 'router-kernel', 'models', 'engine'] as const;
const ANSWER = /a tower with a light that gives warning of shoals to passing ships\./;

/** Runs a module's text in a project. */
function evaluate(project: string, ...lines: readonly string[]): Promise<string> {
  return must(project, process.execPath, '--input-type=module', '--eval', lines.join('\n'));
}

/** Bytes of the files of a folder and of those in it. */
async function folderBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}

function generate(project: string, ...options: readonly string[]): Promise<Finished> {
  return run(project, 'npx', '--no-install', 'switchyard', 'generate', '--prompt', 'What is a lighthouse?', ...options);
}

/** By the runner that ONNX Runtime is needed for, which 'auto' takes where no other fits. */
const ORT = ['--runner', 'onnxruntime'] as const;

describe('npm install of the packed packages, with no flag', function () {
  // Two hundred megabytes come from the registry.
  this.timeout(600_000);
  let tarballs: string;
  const folders: string[] = [];
  const tarball: Record<string, string> = {};
  const newFolder = async (project: boolean): Promise<string> => {
    const folder = await emptyFolder(project);
    folders.push(folder);
    return folder;
  };

  before(async function () {
    tarballs = await newFolder(false);
    const fault = await registryFault(tarballs);
    if (fault !== null) {
      console.log(`      skipped: npm's registry cannot be reached (${fault})`);
      this.skip();
    }
    for (const name of PACKAGES) tarball[name] = await pack(name, tarballs);
  });
  after(async () => {
    for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  });

  it('gives a router without models and engine', async () => {
    const project = await newFolder(true);
    await must(project, 'npm', 'install', tarball.gpu ?? '', tarball['router-kernel'] ?? '');
    const ids = await evaluate(
      project,
      "import { createRouter } from '@switchyard/router-kernel';",
      "const router = await createRouter({ experts: 4, topK: 2, logitsDtype: 'f32', backend: 'cpu' });",
      'const { ids } = await router.route(Float32Array.of(0, 3, 1, 2));',
      'console.log(ids.join());',
      'await router.dispose();',
    );
    assert.equal(ids.trim(), '1,3');
    const cpu = await evaluate(
      project,
      "console.log(Object.keys(await import('@switchyard/router-kernel/cpu')).length)",
    );
    assert.notEqual(Number(cpu), 0);
  });

  it('gives the model files without the other packages', async () => {
    const project = await newFolder(true);
    await must(project, 'npm', 'install', tarball['models'] ?? '');
    const round = await evaluate(
      project,
      "import { openSnapshot } from '@switchyard/models';",
      'const { tokenizer, config } = await openSnapshot();',
      "console.log(config.layers, tokenizer.decode(tokenizer.encode('a lighthouse')));",
    );
    assert.equal(round.trim(), '6 a lighthouse');
  });

  it('gives an engine that answers, after the one command that it names where ONNX Runtime could not be installed', async () => {
    const project = await newFolder(true);
    await must(project, 'npm', 'install', ...Object.values(tarball));
    const installed = join(project, 'node_modules', 'onnxruntime-node');
    if (existsSync(installed)) {
      assert.match((await generate(project, ...ORT)).stdout, ANSWER);
      // npm removes it where its install script fails.
      await rm(installed, { recursive: true });
    }

    await evaluate(project, "await import('@switchyard/engine'); await import('@switchyard/engine/server');");
    const refused = await generate(project, ...ORT);
    assert.equal(refused.code, 1);
    const command = /npm install [^·\n`"'[(]*/.exec(refused.stderr)?.[0].trim() ?? '';
    assert.notEqual(command, '', refused.stderr);
    const manifest = JSON.parse(
      await readFile(join(project, 'node_modules', '@switchyard', 'engine', 'package.json'), 'utf8'),
    ) as { optionalDependencies: Record<string, string> };
    assert.ok(command.includes(`onnxruntime-node@${manifest.optionalDependencies['onnxruntime-node']}`), command);

    // As npx runs it: from a folder that has nothing.
    const elsewhere = await newFolder(false);
    const bin = join(project, 'node_modules', '@switchyard', 'engine', 'bin', 'switchyard.mjs');
    const fromElsewhere = await run(elsewhere, process.execPath, bin, 'generate', 'What is a lighthouse?', ...ORT);
    const [, moved = ''] = /run: (npm install .*) \[/.exec(fromElsewhere.stderr) ?? [];
    assert.equal(moved.replace(/--prefix \S+ /, ''), command);
    const [npm = '', ...words] = moved.split(/\s+/);
    await must(elsewhere, npm, ...words);
    const answered = await generate(project, ...ORT);
    assert.match(answered.stdout, ANSWER, answered.stderr);
    // What was mended stays so, and the next install of the project does not fail.
    await must(project, 'npm', 'install');
    assert.match((await generate(project, ...ORT)).stdout, ANSWER);
  });

  it('gives an engine of less than 150 MB without the optional packages, which says what it lacks', async () => {
    const project = await newFolder(true);
    const { dependencies } = JSON.parse(
      await readFile(new URL('../../../models/package.json', import.meta.url), 'utf8'),
    ) as { dependencies: Record<string, string> };
    const binaries = `@koromix/koffi-${process.platform}-${process.arch}@${dependencies['koffi']}`;
    await must(project, 'npm', 'install', '--omit=optional', ...Object.values(tarball), binaries);
    for (const name of ['onnxruntime-node', 'webgpu']) {
      assert.ok(!existsSync(join(project, 'node_modules', name)), name);
    }
    const bytes = await folderBytes(join(project, 'node_modules'));
    assert.ok(bytes < 150e6, `${bytes} bytes`);
    console.log(`      ${(bytes / 1e6).toFixed(0)} MB installed`);
    // Checkpoints open, and what is missing is said when it is asked for.
    const inspected = await run(project, 'npx', '--no-install', 'switchyard', 'inspect', '--json', '--router', 'cpu');
    assert.equal(inspected.code, 0, inspected.stderr);
    const refused = await generate(project, ...ORT);
    assert.deepEqual([refused.code, /onnxruntime-node is needed .* npm install /.test(refused.stderr)], [1, true]);
    const { code, stdout, stderr } = await generate(project);
    // The native runner has a library for some processors alone.
    if (code === 0) assert.match(stdout, ANSWER);
    else assert.match(stderr, /No runner could start .* onnxruntime-node is needed/);
  });
});
