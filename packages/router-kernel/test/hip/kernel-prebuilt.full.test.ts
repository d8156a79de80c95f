import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { findLlvm } from '@switchyard/gpu/offline';
import { buildPrebuilt } from '../../src/hip/kernel/build-prebuilt.ts';
import { PREBUILT_FOLDER } from '../../src/hip/kernel/prebuilt-kernels.ts';
import type { PrebuiltManifest } from '../../src/hip/kernel/prebuilt-kernels.ts';

const manifest: PrebuiltManifest = JSON.parse(readFileSync(new URL('manifest.json', PREBUILT_FOLDER), 'utf8'));

describe('the shipped code objects', () => {
  it('are rebuilt byte for byte', async function () {
    this.timeout(1_800_000);
    const compiler = findLlvm();
    if (compiler !== manifest.compiler) {
      console.log(`    skipped: the bundle was built by ${manifest.compiler}; here is ${compiler ?? 'no LLVM 22'}`);
      this.skip();
    }
    const rebuilt = await buildPrebuilt();
    assert.deepEqual(rebuilt.manifest, manifest);
    const bundle = readFileSync(new URL(manifest.bundle.file, PREBUILT_FOLDER));
    assert.ok(Buffer.from(rebuilt.bundle).equals(bundle), 'the bundle differs from what the source gives');
  });
});
