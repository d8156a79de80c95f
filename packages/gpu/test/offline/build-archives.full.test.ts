import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { decompressArchive, unpackObjects } from '../../src/kernels/object-archive.ts';
import { prebuiltLookup } from '../../src/kernels/prebuilt-objects.ts';
import { type ArchiveBuild, buildArchives, readBuild } from '../../src/offline/build-archives.ts';
import { manifestText, staleObjects } from '../../src/offline/object-manifest.ts';
import type { ObjectRequest } from '../../src/offline/object-manifest.ts';
import { skipWithoutLlvm } from '../testing/skip-without.ts';

function kernel(symbol: string, body: string): string {
  return `extern "C" __attribute__((global)) void ${symbol}(float* values) { ${body} }\n`;
}

const SCALE = { name: 'scale', source: kernel('scale', 'values[0] *= WIDTH;'), defines: { WIDTH: 4 }, keys: ['four'] };

describe('building archives of code objects', function () {
  this.timeout(120_000);
  before(skipWithoutLlvm);

  async function build(objects: readonly ObjectRequest[], before: ArchiveBuild | null = null) {
    let compiled = 0;
    const requests = [{ architecture: 'gfx942', objects }];
    const built = await buildArchives(requests, { before, onCompile: (count) => void (compiled = count) });
    assert.deepEqual(staleObjects(requests, built.manifest), []);
    return { built, compiled };
  }

  it('compiles what the build before does not have, and gives the bytes that building all would give', async () => {
    const first = await build([SCALE]);
    assert.equal(first.compiled, 1);
    const same = await build([SCALE], first.built);
    assert.deepEqual([same.compiled, same.built.files], [0, first.built.files]);
    const commented = { ...SCALE, source: `// of no consequence\n\n${SCALE.source}` };
    const unchanged = await build([commented], first.built);
    assert.deepEqual([unchanged.compiled, unchanged.built.files], [0, first.built.files]);

    const eight = { ...SCALE, defines: { WIDTH: 8 }, keys: ['eight'] };
    const more = await build([SCALE, eight], first.built);
    assert.equal(more.compiled, 1);
    const anew = await build([SCALE, eight]);
    assert.equal(anew.compiled, 2);
    assert.deepEqual(anew.built, more.built);
  });

  it('keeps one object for requests that differ in macros that they do not use', async () => {
    const unused = { ...SCALE, defines: { WIDTH: 4, DEPTH: 1 }, keys: ['deep'] };
    const { built, compiled } = await build([SCALE, unused]);
    const [archive] = built.files.values();
    assert.ok(archive !== undefined);
    const objects = unpackObjects(decompressArchive(archive));
    assert.deepEqual([compiled, objects.map(({ keys }) => keys)], [1, [['four', 'deep']]]);
    const [kernels] = built.manifest.architectures[0]?.objects.map((object) => object.kernels) ?? [];
    assert.deepEqual(
      kernels?.map(({ symbol, scratch, instructions }) => [symbol, scratch, instructions > 2]),
      [['scale', 0, true]],
    );
  });

  it('gives a folder that is looked up in and read back', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'archives-'));
    const url = pathToFileURL(`${folder}/`);
    assert.equal(readBuild(url), null);
    try {
      const { built } = await build([SCALE]);
      for (const [name, bytes] of built.files) writeFileSync(join(folder, name), bytes);
      writeFileSync(join(folder, 'manifest.json'), manifestText(built.manifest));
      const object = prebuiltLookup(url)('gfx942:sramecc+:xnack-', 'four');
      assert.ok(object !== null);
      assert.equal(Buffer.from(object).toString('latin1', 0, 4), '\x7fELF');
      const read = readBuild(url);
      assert.deepEqual(read?.manifest, built.manifest);
      assert.equal((await build([SCALE], read)).compiled, 0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
