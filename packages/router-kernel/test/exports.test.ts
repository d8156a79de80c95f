import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

const GPU = new URL('../../gpu/', import.meta.url);

/** The source of what a browser gets for an entry of @switchyard/gpu. */
async function gpuSource(specifier: string): Promise<URL> {
  const manifest: unknown = JSON.parse(await readFile(new URL('package.json', GPU), 'utf8'));
  const { exports } = manifest as { exports: Record<string, { default: string | { default: string } }> };
  const entry = exports[specifier.replace('@switchyard/gpu', '.')]?.default;
  assert.ok(entry !== undefined, `${specifier} is no entry`);
  const built = typeof entry === 'string' ? entry : entry.default;
  return new URL(built.replace('./dist/', 'src/').replace(/js$/, 'ts'), GPU);
}

/**
 * Every other package that a module of src/ imports statically, through all modules of this package and of
 * @switchyard/gpu; type imports are erased.
 */
async function staticImports(
  entry: URL,
  found: Set<string> = new Set(),
  seen: Set<string> = new Set(),
): Promise<Set<string>> {
  if (seen.has(entry.href)) return found;
  seen.add(entry.href);
  const source = await readFile(entry, 'utf8');
  for (const [, specifier = ''] of source.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';/gm)) {
    if (specifier.startsWith('.')) await staticImports(new URL(specifier, entry), found, seen);
    else if (specifier.startsWith('@switchyard/gpu')) await staticImports(await gpuSource(specifier), found, seen);
    else found.add(specifier);
  }
  return found;
}

describe('the package', () => {
  const root = new URL('../', import.meta.url);

  for (const entry of ['cpu/index.ts', 'webgpu/browser.ts', 'suite/index.ts']) {
    it(`has ${entry}, which a browser can load`, async () => {
      assert.deepEqual([...(await staticImports(new URL(`src/${entry}`, root)))], []);
    });
  }

  it('exports these entries, and WebGPU apart for Node and for browsers', async () => {
    const manifest: unknown = JSON.parse(await readFile(new URL('package.json', root), 'utf8'));
    const { exports } = manifest as { exports: Record<string, Record<string, { default: string }>> };
    assert.deepEqual(Object.keys(exports), ['.', './cpu', './hip', './webgpu', './suite', './package.json']);
    assert.equal(exports['./webgpu']?.['node']?.default, './dist/webgpu/index.js');
    assert.equal(exports['./webgpu']?.['default']?.default, './dist/webgpu/browser.js');
  });

  it('has Node imports elsewhere, so that the search is known to find them', async () => {
    assert.ok((await staticImports(new URL('src/cli/main.ts', root))).has('node:util'));
  });
});
