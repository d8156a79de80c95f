import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { unpackBundle } from '@switchyard/gpu';
import { findLlvm } from '@switchyard/gpu/offline';
import { skipWithoutLlvm } from '../../../gpu/test/testing/skip-without.ts';
import { buildObjects, describeKernels } from '../../src/hip/kernel/build-prebuilt.ts';
import {
  findPrebuiltObject,
  PREBUILT_FOLDER,
  PREBUILT_TARGETS,
  prebuiltKernels,
} from '../../src/hip/kernel/prebuilt-kernels.ts';
import type { PrebuiltManifest } from '../../src/hip/kernel/prebuilt-kernels.ts';

const manifest: PrebuiltManifest = JSON.parse(readFileSync(new URL('manifest.json', PREBUILT_FOLDER), 'utf8'));
/** One of them: all take a quarter of an hour and more, which `npm run kernels -- --check` spends. */
const REBUILT = ['gfx942'];

describe('the shipped code objects', () => {
  it(`are rebuilt byte for byte: ${REBUILT.join(', ')}`, async function () {
    this.timeout(1_800_000);
    const compiler = findLlvm();
    if (compiler !== manifest.compiler) {
      console.log(`    skipped: the bundle was built by ${manifest.compiler}; here is ${compiler ?? 'no LLVM 22'}`);
      this.skip();
    }
    const targets = PREBUILT_TARGETS.filter(({ architecture }) => REBUILT.includes(architecture));
    const { objects, architectures } = await buildObjects(targets);
    assert.equal(objects.size, REBUILT.length);
    for (const rebuilt of architectures) {
      const { architecture, kernels } = rebuilt;
      const shipped = manifest.architectures.find((about) => about.architecture === architecture);
      assert.deepEqual(rebuilt, shipped);
      const [object, kept] = [objects.get(architecture), findPrebuiltObject(architecture, kernels[0]?.symbol ?? '')];
      assert.ok(object !== undefined && kept !== null);
      assert.ok(Buffer.from(object).equals(kept), `the object of ${architecture} differs from what the source gives`);
    }
  });

  it('take what the manifest says', function () {
    skipWithoutLlvm.call(this);
    this.timeout(300_000);
    const objects = unpackBundle(readFileSync(new URL(manifest.bundle.file, PREBUILT_FOLDER)));
    for (const [index, target] of PREBUILT_TARGETS.entries()) {
      const { architecture } = target;
      const object = objects.get(architecture);
      assert.ok(object !== undefined, architecture);
      const found = describeKernels(architecture, object, prebuiltKernels(target));
      assert.deepEqual(found, manifest.architectures[index]?.kernels, architecture);
    }
  });
});
