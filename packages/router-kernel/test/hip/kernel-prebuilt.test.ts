import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { manifestText, sha256 } from '../../src/hip/kernel/build-prebuilt.ts';
import {
  findPrebuiltObject,
  PREBUILT_FOLDER,
  PREBUILT_TARGETS,
  prebuiltKernels,
  sourceOfForms,
} from '../../src/hip/kernel/prebuilt-kernels.ts';
import type { PrebuiltManifest } from '../../src/hip/kernel/prebuilt-kernels.ts';

const text = readFileSync(new URL('manifest.json', PREBUILT_FOLDER), 'utf8');
const manifest: PrebuiltManifest = JSON.parse(text);
const bundle = readFileSync(new URL(manifest.bundle.file, PREBUILT_FOLDER));

describe('the shipped code objects', function () {
  this.timeout(120_000);

  it('are of the sources as they are: else run npm run kernels', () => {
    assert.equal(manifestText(manifest), text);
    assert.equal(sha256(bundle), manifest.bundle.sha256);
    assert.deepEqual(
      manifest.architectures.map(({ architecture, waveSize }) => ({ vendor: 'amd', architecture, waveSize })),
      PREBUILT_TARGETS,
    );
    for (const [index, target] of PREBUILT_TARGETS.entries()) {
      const kernels = prebuiltKernels(target);
      const listed = manifest.architectures[index];
      assert.deepEqual(
        listed?.kernels.map(({ symbol }) => symbol),
        kernels.map(({ form }) => form.symbol),
      );
      assert.equal(listed?.source, sha256(sourceOfForms(kernels.map(({ form }) => form))), target.architecture);
    }
  });

  it('are found by architecture and symbol', () => {
    for (const target of PREBUILT_TARGETS) {
      for (const { form } of prebuiltKernels(target)) {
        const object = findPrebuiltObject(target.architecture, form.symbol);
        assert.ok(object !== null, `${form.symbol} for ${target.architecture}`);
        assert.equal(Buffer.from(object).toString('latin1', 0, 4), '\x7fELF');
      }
    }
    assert.equal(findPrebuiltObject('gfx942', 'no_such_kernel'), null);
    assert.equal(findPrebuiltObject('gfx900', 'no_such_kernel'), null);
  });

  it('spill nothing, use no scratch memory, and use shared memory in dispatch plans alone', () => {
    for (const { architecture, kernels } of manifest.architectures) {
      for (const { symbol, unit, scratch, vgprSpills, sgprSpills, lds, instructions } of kernels) {
        const taken = { scratch, vgprSpills, sgprSpills };
        assert.deepEqual(taken, { scratch: 0, vgprSpills: 0, sgprSpills: 0 }, `${symbol} for ${architecture}`);
        if (unit === 'topk_gating_softmax' && !symbol.includes('_plan_'))
          assert.equal(lds, 0, `${symbol} for ${architecture}`);
        assert.ok(lds <= 32_768 && instructions > 0, `${symbol} for ${architecture}`);
      }
    }
  });
});
