import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const BUILT = new URL('../../dist/', import.meta.url);
const GPU = new URL('../../../gpu/', import.meta.url);

/** What an entry of @switchyard/gpu stands for, in Node or elsewhere. */
function gpuEntry(specifier: string, condition: Condition): URL {
  const manifest: unknown = JSON.parse(readFileSync(new URL('package.json', GPU), 'utf8'));
  const { exports } = manifest as {
    exports: Record<string, Partial<Record<Condition, string | { default: string }>>>;
  };
  const byCondition = exports[specifier.replace('@switchyard/gpu', '.')];
  const entry = byCondition?.[condition] ?? byCondition?.default;
  assert.ok(entry !== undefined, `${specifier} is no entry`);
  return new URL(typeof entry === 'string' ? entry : entry.default, GPU);
}

type Condition = 'node' | 'default';

/**
 * Every module that a built file loads, at once or later, by way of all modules of this package and of @switchyard/gpu.
 */
async function loadedModules(
  entry: URL,
  condition: Condition = 'default',
  found = new Map<string, string>(),
): Promise<ReadonlyMap<string, string>> {
  if (found.has(entry.href)) return found;
  const code = await readFile(entry, 'utf8');
  found.set(entry.href, code);
  for (const [, specifier = ''] of code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"]([^'"]+)['"]/g)) {
    if (specifier.startsWith('.')) await loadedModules(new URL(specifier, entry), condition, found);
    else if (specifier.startsWith('@switchyard/gpu'))
      await loadedModules(gpuEntry(specifier, condition), condition, found);
    else found.set(specifier, '');
  }
  return found;
}

describe('the built browser entry', () => {
  before(function () {
    if (existsSync(new URL('webgpu/browser.js', BUILT))) return;
    console.log('    skipped: dist/ is not built (tsc -b)');
    this.skip();
  });

  for (const entry of ['webgpu/browser.js', 'cpu/index.js', 'suite/index.js']) {
    it(`${entry} loads no package and no Node module, and names no Node global`, async () => {
      const modules = await loadedModules(new URL(entry, BUILT));
      assert.ok(modules.size > 5, `${modules.size} modules`);
      for (const [name, code] of modules) {
        assert.ok(name.startsWith('file:'), `${name} is imported`);
        assert.doesNotMatch(
          code.replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, ''),
          /\b(?:process|Buffer|require|__dirname)\b[.([]/,
          name,
        );
      }
    });
  }

  it('is told apart from the Node entry, whose Node modules the search finds', async () => {
    const modules = await loadedModules(new URL('webgpu/index.js', BUILT), 'node');
    assert.ok([...modules.keys()].some(isBuiltin));
    assert.ok(modules.has('webgpu') && modules.has('koffi'));
  });
});

describe('the browser example, bundled by vite', function () {
  this.timeout(120_000);
  before(function () {
    if (existsSync(new URL('webgpu/browser.js', BUILT))) return;
    console.log('    skipped: dist/ is not built (tsc -b)');
    this.skip();
  });

  it('holds the browser entries of the router and the GPU, no koffi and no Node module', async () => {
    const root = fileURLToPath(new URL('../../../../examples/browser-router/', import.meta.url));
    const built = await build({ root, logLevel: 'error', build: { write: false } });
    assert.ok('output' in built);
    const chunks = built.output.filter((file) => file.type === 'chunk');
    const modules = chunks.flatMap(({ moduleIds }) => moduleIds.map((id) => id.replaceAll('\\', '/')));
    for (const part of ['router-kernel/dist/webgpu/browser.js', 'gpu/dist/errors.js', 'gpu/dist/webgpu/ranges.js']) {
      assert.ok(
        modules.some((id) => id.endsWith(part)),
        `${part} is not in the bundle of ${modules.length} modules`,
      );
    }
    const unwanted =
      /koffi|\/gpu\/dist\/(?:driver|kernels|offline|testing)\/|dawn|swiftshader|__vite-browser-external|node:/i;
    assert.deepEqual(
      modules.filter((id) => unwanted.test(id)),
      [],
    );
    assert.deepEqual(
      chunks.flatMap(({ imports, dynamicImports }) => [...imports, ...dynamicImports]),
      [],
    );
  });
});
