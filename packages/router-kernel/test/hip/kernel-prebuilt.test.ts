import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { manifestText, staleObjects } from '@switchyard/gpu/offline';
import type { ObjectManifest } from '@switchyard/gpu/offline';
import { findPrebuiltObject, PREBUILT_FOLDER } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { prebuiltRequests } from '../../src/hip/prebuilt-requests.ts';

const text = readFileSync(new URL('manifest.json', PREBUILT_FOLDER), 'utf8');
const manifest: ObjectManifest = JSON.parse(text);

describe('the shipped code objects', function () {
  this.timeout(120_000);

  it('are of the sources as they are: else run npm run kernels -- router', async () => {
    assert.equal(manifestText(manifest), text);
    assert.deepEqual(staleObjects(await prebuiltRequests(), manifest), [], 'npm run kernels -- router builds them');
  });

  it('are found by architecture and symbol', () => {
    for (const { architecture, objects } of manifest.architectures) {
      for (const { bytes, kernels } of objects) {
        const found = new Set(kernels.map(({ symbol }) => findPrebuiltObject(architecture, symbol)));
        const [object] = found;
        assert.ok(found.size === 1 && object !== null && object !== undefined, architecture);
        assert.equal(object.length, bytes);
        assert.equal(Buffer.from(object).toString('latin1', 0, 4), '\x7fELF');
      }
    }
    assert.equal(findPrebuiltObject('gfx942', 'no_such_kernel'), null);
    assert.equal(findPrebuiltObject('gfx900', 'no_such_kernel'), null);
  });

  it('spill nothing, use no scratch memory, and use shared memory in dispatch plans and gates alone', () => {
    for (const { architecture, objects } of manifest.architectures) {
      for (const { symbol, scratch, vgprSpills, sgprSpills, lds, instructions } of objects.flatMap((o) => o.kernels)) {
        const taken = { scratch, vgprSpills, sgprSpills };
        assert.deepEqual(taken, { scratch: 0, vgprSpills: 0, sgprSpills: 0 }, `${symbol} for ${architecture}`);
        if (symbol.startsWith('topk_gating_softmax') && !symbol.includes('_plan_'))
          assert.equal(lds, 0, `${symbol} for ${architecture}`);
        assert.ok(lds <= 32_768 && instructions > 0, `${symbol} for ${architecture}`);
      }
    }
  });
});
