import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** Every package that a module of src/ imports, at once or later, through all of its own modules; types are erased. */
async function importedPackages(entry: URL, found = new Set<string>(), seen = new Set<string>()): Promise<Set<string>> {
  if (seen.has(entry.href)) return found;
  seen.add(entry.href);
  const source = await readFile(entry, 'utf8');
  const specifiers = [
    ...source.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';/gm),
    ...source.matchAll(/\bimport\('([^']+)'\)/g),
  ];
  for (const [, specifier = ''] of specifiers) {
    if (specifier.startsWith('.')) await importedPackages(new URL(specifier, entry), found, seen);
    else found.add(specifier);
  }
  return found;
}

describe('the package', () => {
  const root = new URL('../', import.meta.url);

  for (const entry of ['errors.ts', 'logger.ts', 'webgpu/browser.ts']) {
    it(`has ${entry}, which imports no package and no Node module`, async () => {
      assert.deepEqual([...(await importedPackages(new URL(`src/${entry}`, root)))], []);
    });
  }

  it('reaches native code from the other entries, so that the search is known to find it', async () => {
    for (const entry of ['index.ts', 'testing/index.ts', 'webgpu/index.ts']) {
      assert.ok((await importedPackages(new URL(`src/${entry}`, root))).has('koffi'), entry);
    }
  });

  for (const entry of ['offline', 'benchmark']) {
    it(`has ${entry}, which imports no native code`, async () => {
      const imported = await importedPackages(new URL(`src/${entry}/index.ts`, root));
      assert.ok(
        [...imported].every((name) => name.startsWith('node:')),
        [...imported].join(),
      );
    });
  }

  it('exports these entries, each of which has a source, and WebGPU apart for Node and for browsers', async () => {
    const manifest: unknown = JSON.parse(await readFile(new URL('package.json', root), 'utf8'));
    const { exports } = manifest as { exports: Record<string, Record<string, string | { default: string }>> };
    assert.deepEqual(Object.keys(exports), [
      '.',
      './benchmark',
      './environment',
      './errors',
      './logger',
      './offline',
      './testing',
      './webgpu',
      './package.json',
    ]);
    assert.deepEqual(exports['./webgpu'], {
      node: { types: './dist/webgpu/index.d.ts', default: './dist/webgpu/index.js' },
      default: { types: './dist/webgpu/browser.d.ts', default: './dist/webgpu/browser.js' },
    });
    for (const text of JSON.stringify(exports).match(/\.\/dist\/[^"]+\.js/g) ?? []) {
      const source = new URL(text.replace('./dist/', 'src/').replace(/js$/, 'ts'), root);
      assert.ok(existsSync(source), source.href);
    }
  });
});
