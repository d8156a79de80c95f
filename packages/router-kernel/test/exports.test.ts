import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

/** Everything that a module of src/ imports statically, through all of its own modules; type imports are erased. */
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
    assert.deepEqual(Object.keys(exports), ['.', './cpu', './webgpu', './suite', './package.json']);
    assert.equal(exports['./webgpu']?.['node']?.default, './dist/webgpu/index.js');
    assert.equal(exports['./webgpu']?.['default']?.default, './dist/webgpu/browser.js');
  });

  it('has Node imports elsewhere, so that the search is known to find them', async () => {
    assert.ok((await staticImports(new URL('src/cli/main.ts', root))).has('node:util'));
  });
});
