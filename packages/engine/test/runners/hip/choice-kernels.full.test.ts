import assert from 'node:assert/strict';
import { KernelEmulator, isTailPoisoned, poison } from '@switchyard/gpu/testing';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { drawForm, largestForm } from '../../../src/runners/hip/choice-kernels.ts';
import { DEFAULT_SAMPLING } from '../../../src/sampling/parameters.ts';
import { Sampler } from '../../../src/sampling/sampler.ts';
import { LARGEST_BLOCKS } from '../../../src/runners/hip/sizes.ts';
import { EMULATED_TARGETS } from './emulated-runner.ts';
import { GUARD, stepOf } from './kernel-cases.ts';
import { SMALL_CONFIG, contextFor, randomFloats, runForm } from './small-model.ts';

const { vocabularySize } = SMALL_CONFIG;
/** Fewer than the vocabulary has. */
const CANDIDATES = vocabularySize - 3;
const ROWS = 64;

/** A row of logits that a draw may find hard, by its number: smooth, with ties, with a tail that weighs nothing, ... */
function hardRow(row: number, index: number, value: number): number {
  if (row % 6 === 1) return Math.round(value);
  if (row % 6 === 2) return index % 5 === 0 ? Number.NEGATIVE_INFINITY : value;
  if (row % 6 === 3) return index % 7 === 0 ? Number.NaN : value * 20;
  if (row % 12 === 4) return -2.5;
  if (row % 6 === 4) return value < 0 ? -0 : 0;
  return value * 4;
}

for (const target of EMULATED_TARGETS) {
  describe(`choosing tokens on the GPU, emulated as ${target.architecture}`, function () {
    this.timeout(600_000);
    const context = contextFor(target);
    let emulator: KernelEmulator;
    before(function () {
      skipWithoutHostCompiler.call(this);
      emulator = new KernelEmulator(target);
    });
    after(() => emulator?.dispose());

    it('largest: the lowest id of equal logits, numbers before NaN, nothing past the candidates', () => {
      const rows = 5;
      const logits = randomFloats(rows * vocabularySize, 60);
      const row = (index: number): Float32Array =>
        logits.subarray(index * vocabularySize, (index + 1) * vocabularySize);
      const candidates = CANDIDATES;
      row(0)[vocabularySize - 1] = 1000;
      row(0)[200] = 50;
      row(1).fill(-7);
      row(2).fill(Number.NaN);
      row(3).fill(Number.NaN);
      row(3)[9] = Number.NEGATIVE_INFINITY;
      row(4).fill(-1);
      row(4)[301] = 0;
      row(4)[33] = -0;
      const tokens = poison(new Int32Array(rows + GUARD));
      const step = stepOf(rows + 1, () => ({ wanted: 'token' }));
      const found = new BigInt64Array(rows * LARGEST_BLOCKS);
      const arrivals = new Uint32Array(rows);
      const form = largestForm(context);
      for (let turn = 0; turn < 2; turn++) {
        runForm(emulator, form, rows * LARGEST_BLOCKS, { step, logits, found, arrivals, tokens, candidates, first: 0 });
        assert.deepEqual([...arrivals], Array(rows).fill(0), 'nothing is left of the count of arrived blocks');
      }
      assert.deepEqual([...tokens.subarray(0, rows)], [200, 0, -1, 9, 33]);
      assert.ok(isTailPoisoned(tokens, GUARD * 4));
    });

    it('draws what the sampler draws: every cut alone and together, ties, tails, and rows that cannot be weighed', () => {
      const pick = <Value>(values: readonly Value[], at: number): Value => values[at % values.length] as Value;
      for (let turn = 0; turn < 6; turn++) {
        const random = randomFloats(ROWS * vocabularySize, 70 + turn);
        const logits = random.map((value, at) => hardRow(Math.floor(at / vocabularySize), at % vocabularySize, value));
        // No token is there past the candidates, whatever the padding says.
        for (let row = 0; row < ROWS; row++) logits[(row + 1) * vocabularySize - 1] = 1000;
        const row = (index: number): Float32Array =>
          logits.subarray(index * vocabularySize, index * vocabularySize + CANDIDATES);
        row(7).fill(Number.NEGATIVE_INFINITY);
        row(8)[40] = Number.POSITIVE_INFINITY;
        const samplers = Array.from({ length: ROWS }, (_, index) => {
          const at = index + 7 * turn;
          return new Sampler(
            {
              ...DEFAULT_SAMPLING,
              temperature: pick([1, 0.3, 2.5, 0.01, 0], at),
              topK: pick([0, 1, 5, 100, 10_000, 0, 40], at),
              topP: pick([1, 0.9, 0.5, 0.999, 1e-9, 1], at >> 1),
              minP: pick([0, 0.05, 0, 1, 0.3], at >> 2),
              seed: at,
              logitBias: [],
            },
            new Int32Array(0),
          );
        });
        const draws = samplers.map((sampler) => sampler.planDraw());
        const step = stepOf(ROWS, (_, index) => {
          const draw = draws[index];
          return { wanted: 'token', ...(draw ? { draw } : {}) };
        });
        const tokens = poison(new Int32Array(ROWS + GUARD));
        const found = new BigInt64Array(ROWS * LARGEST_BLOCKS);
        const arrivals = new Uint32Array(ROWS);
        const values = { step, logits, found, arrivals, tokens, candidates: CANDIDATES, first: 0 };
        for (const form of [largestForm(context), drawForm(context)]) {
          runForm(emulator, form, ROWS * LARGEST_BLOCKS, values);
        }
        assert.deepEqual([...arrivals], Array(ROWS).fill(0), 'nothing is left of the count of arrived blocks');
        const expected = samplers.map((sampler, index) => sampler.sample(row(index)));
        assert.deepEqual([...tokens.subarray(0, ROWS)], expected, `turn ${turn}`);
        assert.ok(isTailPoisoned(tokens, GUARD * 4));
      }
    });
  });
}
