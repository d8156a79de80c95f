import assert from 'node:assert/strict';
import { buildArchives, describeKernels, findLlvm, readBuild } from '@switchyard/gpu/offline';
import { skipWithoutLlvm } from '../../../gpu/test/testing/skip-without.ts';
import { findPrebuiltObject, PREBUILT_FOLDER } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { prebuiltRequests } from '../../src/hip/prebuilt-requests.ts';

const shipped = readBuild(PREBUILT_FOLDER);
/** One of them: all take a quarter of an hour and more, which `npm run kernels -- router --check` spends. */
const REBUILT = 'gfx90a';

describe('the shipped code objects', () => {
  it(`are rebuilt byte for byte: ${REBUILT}`, async function () {
    this.timeout(1_800_000);
    assert.ok(shipped !== null);
    const compiler = findLlvm();
    if (compiler !== shipped.manifest.compiler) {
      console.log(`    skipped: they were built by ${shipped.manifest.compiler}; here is ${compiler ?? 'no LLVM 22'}`);
      this.skip();
    }
    const requests = (await prebuiltRequests()).filter(({ architecture }) => architecture === REBUILT);
    const { files, manifest } = await buildArchives(requests, { compressedBefore: shipped });
    assert.equal(files.size, 1);
    const [rebuilt] = manifest.architectures;
    assert.deepEqual(
      rebuilt,
      shipped.manifest.architectures.find(({ architecture }) => architecture === REBUILT),
    );
  });

  it('take what the manifest says', function () {
    skipWithoutLlvm.call(this);
    this.timeout(300_000);
    for (const { architecture, objects } of shipped?.manifest.architectures ?? []) {
      for (const { name, kernels } of objects) {
        const object = findPrebuiltObject(architecture, kernels[0]?.symbol ?? '');
        assert.ok(object !== null, `${name} for ${architecture}`);
        assert.deepEqual(describeKernels(object), kernels, `${name} for ${architecture}`);
      }
    }
  });
});
