import assert from 'node:assert/strict';
import type { KernelTarget } from '../../src/kernels/kernel-target.ts';
import { isTailPoisoned, KernelEmulator, poison } from '../../src/testing/index.ts';
import { skipWithoutHostCompiler } from './skip-without.ts';

const TARGETS: readonly KernelTarget[] = [
  { vendor: 'amd', architecture: 'gfx942', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx1100', waveSize: 32 },
];

/** Each lane gets what the lane beside it holds; lane 0 of each wave also writes which lanes hold an odd value. */
const SOURCE = `
extern "C" __global__ void swap_pairs(const int* values, int* swapped, unsigned long long* odd, unsigned scale) {
  const unsigned thread = __builtin_amdgcn_workgroup_id_x() * THREADS + __builtin_amdgcn_workitem_id_x();
  const int value = values[thread] * static_cast<int>(scale);
  swapped[thread] = __builtin_amdgcn_update_dpp(0, value, 0xB1, 0xf, 0xf, true);
  const unsigned long long mask = __builtin_amdgcn_ballot_w64(value % 2 != 0);
  if (thread % EMULATED_WAVE_SIZE == 0) odd[thread / EMULATED_WAVE_SIZE] = mask;
}`;

const THREADS = 128;
const BLOCKS = 2;

for (const target of TARGETS) {
  describe(`the lockstep emulation of ${target.architecture}`, function () {
    this.timeout(60_000);
    let emulator: KernelEmulator;

    before(function () {
      skipWithoutHostCompiler.call(this);
      emulator = new KernelEmulator(target);
    });
    after(() => emulator?.dispose());

    it('exchanges values between lanes, and votes over a whole wave', () => {
      const kernel = emulator.load({
        unit: { name: 'swap', source: () => SOURCE, defines: { THREADS } },
        symbol: 'swap_pairs',
        arguments: [
          { name: 'values', type: 'pointer', doc: '' },
          { name: 'swapped', type: 'pointer', doc: '' },
          { name: 'odd', type: 'pointer', doc: '' },
          { name: 'scale', type: 'u32', doc: '' },
        ],
        threadsPerBlock: THREADS,
      });
      const threads = BLOCKS * THREADS;
      const values = Int32Array.from({ length: threads }, (_, i) => (i * i) % 7);
      const swapped = poison(new Int32Array(threads + 4));
      const odd = poison(new BigUint64Array(threads / target.waveSize + 1));
      kernel(BLOCKS, values, swapped, odd, 3);
      for (const [i, value] of values.entries()) assert.equal(swapped[i ^ 1], 3 * value, `lane ${i}`);
      const votes = Array.from({ length: threads }, (_, i) => {
        const mask = odd[Math.floor(i / target.waveSize)] ?? 0n;
        return (mask >> BigInt(i % target.waveSize)) & 1n;
      });
      assert.deepEqual(
        votes,
        Array.from(values, (value) => BigInt(value % 2)),
      );
      assert.ok(isTailPoisoned(swapped, 16) && isTailPoisoned(odd, 8));
    });
  });
}

describe('a poisoned tail', () => {
  it('is told from one that was written', () => {
    const elements = poison(new Int32Array(8));
    assert.ok(isTailPoisoned(elements, 16));
    elements[3] = 0;
    assert.ok(isTailPoisoned(elements, 16));
    elements[4] = 0;
    assert.ok(!isTailPoisoned(elements, 16));
  });
});
