import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { manifestText, staleObjects } from '@switchyard/gpu/offline';
import type { ObjectManifest } from '@switchyard/gpu/offline';
import { prebuiltRequests } from '../../../src/runners/hip/prebuilt-kernels.ts';
import { PREBUILT_FOLDER } from '../../../src/runners/hip/runner-library.ts';

const text = readFileSync(new URL('manifest.json', PREBUILT_FOLDER), 'utf8');
const manifest: ObjectManifest = JSON.parse(text);
const MOST_BYTES = 5_000_000;

describe("the GPU runner's shipped code objects", function () {
  this.timeout(60_000);

  it('are of the kernels as they are: else run npm run kernels -- engine', async () => {
    assert.equal(manifestText(manifest), text);
    assert.deepEqual(staleObjects(await prebuiltRequests(), manifest), [], 'npm run kernels -- engine builds them');
  });

  it('spill nothing and use no scratch memory', () => {
    for (const { architecture, objects } of manifest.architectures) {
      assert.ok(objects.length >= 60, `${objects.length} objects for ${architecture}`);
      for (const { name, kernels } of objects) {
        const [kernel, ...more] = kernels;
        assert.ok(kernel !== undefined && more.length === 0 && kernel.instructions > 0, name);
        const { scratch, vgprSpills, sgprSpills } = kernel;
        assert.deepEqual([vgprSpills, sgprSpills, scratch], [0, 0, 0], `${name} for ${architecture}`);
      }
    }
  });

  it('are as large as the manifest says, and small', () => {
    let bytes = 0;
    for (const archive of manifest.architectures) {
      const { size } = statSync(new URL(archive.file, PREBUILT_FOLDER));
      assert.equal(size, archive.bytes);
      bytes += size;
    }
    assert.ok(bytes < MOST_BYTES, `${bytes} bytes`);
  });
});
