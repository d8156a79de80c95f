import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { listKernels } from '../../src/kernels/list-kernels.ts';
import { loadLaunch } from '../../src/kernels/launcher.ts';
import { archiveName, kernelKey, prebuiltLookup } from '../../src/kernels/prebuilt-objects.ts';

const UNIT = { name: 'scale', source: () => 'the text', defines: { WIDTH: 4, HEIGHT: 2 } };

describe('shipped code objects', () => {
  it('have keys that change with text, macros and symbol, and not with the order of macros', () => {
    const key = kernelKey(UNIT, 'scale');
    assert.match(key, /^[0-9a-f]{24}$/);
    assert.equal(kernelKey({ ...UNIT, defines: { HEIGHT: 2, WIDTH: 4 } }, 'scale'), key);
    const others = [
      kernelKey(UNIT, 'scale_2'),
      kernelKey({ ...UNIT, source: () => 'the text ' }, 'scale'),
      kernelKey({ ...UNIT, defines: { WIDTH: 4, HEIGHT: 3 } }, 'scale'),
    ];
    assert.equal(new Set([key, ...others]).size, 4);
  });

  it('are none for an architecture without an archive, and an error without a folder or with a damaged archive', () => {
    const folder = mkdtempSync(join(tmpdir(), 'objects-'));
    try {
      const url = pathToFileURL(`${folder}/`);
      assert.equal(prebuiltLookup(url)('gfx942', 'key'), null);
      writeFileSync(join(folder, archiveName('gfx942')), 'no archive');
      assert.throws(() => prebuiltLookup(url)('gfx942', 'key'));
      assert.throws(() => prebuiltLookup(new URL('none/', url))('gfx942', 'key'), /ENOENT/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('are found out by what code loads, which must not launch', async () => {
    const target = { vendor: 'amd', architecture: 'gfx942', waveSize: 64 } as const;
    const listed = await listKernels(target, async (driver, library) => {
      assert.equal(library.target, target);
      const description = { unit: UNIT, symbol: 'scale', arguments: [], threadsPerBlock: 64 } as const;
      const launch = await loadLaunch(driver, library, description);
      assert.throws(() => launch.launch(1n, 1, {}), RangeError);
    });
    assert.deepEqual(listed, [{ unit: UNIT, symbol: 'scale' }]);
  });
});
