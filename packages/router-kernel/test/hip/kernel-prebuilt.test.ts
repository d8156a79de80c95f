import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { findLlvm } from '@switchyard/gpu/offline';
import { buildPrebuilt } from '../../src/hip/kernel/build-prebuilt.ts';
import {
  findPrebuiltObject,
  PREBUILT_FOLDER,
  PREBUILT_TARGETS,
  prebuiltKernels,
} from '../../src/hip/kernel/prebuilt-kernels.ts';
import type { PrebuiltManifest } from '../../src/hip/kernel/prebuilt-kernels.ts';

const manifest: PrebuiltManifest = JSON.parse(readFileSync(new URL('manifest.json', PREBUILT_FOLDER), 'utf8'));
const bundle = readFileSync(new URL(manifest.bundle.file, PREBUILT_FOLDER));

describe('the shipped code objects', () => {
  it('are found by architecture and symbol', () => {
    for (const target of PREBUILT_TARGETS) {
      for (const { specialization } of prebuiltKernels(target)) {
        const object = findPrebuiltObject(target.architecture, specialization.symbol);
        assert.ok(object !== null, `${specialization.symbol} for ${target.architecture}`);
        assert.equal(Buffer.from(object).toString('latin1', 0, 4), '\x7fELF');
      }
    }
    assert.equal(findPrebuiltObject('gfx942', 'no_such_kernel'), null);
    assert.equal(findPrebuiltObject('gfx900', 'no_such_kernel'), null);
  });

  it('spill nothing and use no shared memory', () => {
    for (const { kernels } of manifest.architectures) {
      for (const { symbol, scratch, vgprSpills, sgprSpills, lds } of kernels) {
        assert.deepEqual(
          { scratch, vgprSpills, sgprSpills, lds },
          { scratch: 0, vgprSpills: 0, sgprSpills: 0, lds: 0 },
          symbol,
        );
      }
    }
  });

  it('are rebuilt byte for byte', function () {
    this.timeout(300_000);
    const compiler = findLlvm();
    if (compiler !== manifest.compiler) {
      console.log(`    skipped: the bundle was built by ${manifest.compiler}; here is ${compiler ?? 'no LLVM 22'}`);
      this.skip();
    }
    const rebuilt = buildPrebuilt();
    assert.deepEqual(rebuilt.manifest, manifest);
    assert.ok(Buffer.from(rebuilt.bundle).equals(bundle), 'the bundle differs from what the source gives');
  });
});
