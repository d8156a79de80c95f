import assert from 'node:assert/strict';
import type { GptOssConfig } from '@switchyard/models';
import { KernelEmulator, isTailPoisoned, poison } from '@switchyard/gpu/testing';
import * as fc from 'fast-check';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { adjustForm, drawForm, largestForm, maskForm } from '../../../src/runners/hip/choice-kernels.ts';
import type { KernelContext } from '../../../src/runners/hip/kernel-form.ts';
import { LARGEST_BLOCKS } from '../../../src/runners/hip/sizes.ts';
import type { StepRow } from '../../../src/runners/hip/step-block.ts';
import { DEFAULT_SAMPLING, type SamplingParameters } from '../../../src/sampling/parameters.ts';
import { RandomStream } from '../../../src/sampling/random.ts';
import { Sampler } from '../../../src/sampling/sampler.ts';
import { type TokenMask, applyTokenMask, tokenMaskWords } from '../../../src/sampling/token-mask.ts';
import { EMULATED_TARGETS } from './emulated-runner.ts';
import { GUARD, stepOf } from './kernel-cases.ts';
import { SMALL_CONFIG, contextFor, randomFloats, runForm } from './small-model.ts';

/** Rows of a launch, and those of the launches before it. */
const ROWS = 6;
const FIRST = 2;
/** Ids of a padded vocabulary that no token has. */
const PADDING = 3;

/** A row: its logits, what its sampler saw, and whether the device alone knows the last of that. */
interface RowCase {
  readonly logits: Float32Array;
  readonly parameters: SamplingParameters;
  readonly prompt: Int32Array;
  readonly answer: readonly number[];
  readonly lastIsUnseen: boolean;
  readonly mask: TokenMask | null;
}

/** Cases by a seed: ties, zeros of both signs, infinities, no numbers, few tokens and many, masks from none to all. */
class Cases {
  readonly #random: RandomStream;
  readonly #vocabulary: number;

  constructor(seed: number, vocabulary: number) {
    this.#random = new RandomStream(seed);
    this.#vocabulary = vocabulary;
  }

  row(): RowCase {
    const answer = this.#ids(this.#oneOf(0, 1, 5, this.#vocabulary));
    return {
      logits: this.#logits(),
      parameters: this.#parameters(answer.slice(-1)),
      prompt: Int32Array.from(this.#ids(this.#oneOf(0, 3, 2 * this.#vocabulary))),
      answer,
      lastIsUnseen: answer.length > 0 && this.#random.next() < 0.5,
      mask: this.#random.next() < 0.5 ? this.#mask() : null,
    };
  }

  #logits(): Float32Array {
    const step = this.#oneOf(0, 0.5, 1);
    const odd = this.#oneOf(0, 0, 0.2, 1);
    const strange = [Number.NaN, -Infinity, -0, 0, 1e-40, this.#oneOf(1, 1, Infinity)];
    return Float32Array.from(randomFloats(this.#vocabulary, 1 + this.#below(1e6), 5), (value) => {
      if (odd > 0 && this.#random.next() < odd) return strange[this.#below(strange.length)] as number;
      return step === 0 ? value : Math.round(value / step) * step;
    });
  }

  /** @param likely ids that may have a bias as any others. */
  #parameters(likely: readonly number[]): SamplingParameters {
    const biased = [...this.#ids(this.#oneOf(0, 2, 40)), ...(this.#random.next() < 0.5 ? likely : [])];
    return {
      ...DEFAULT_SAMPLING,
      temperature: this.#oneOf(0, 0, 0.2, 1, 2.5),
      topK: this.#oneOf(0, 0, 1, 20, 10_000),
      topP: this.#oneOf(1, 1, 0.9, 0.3),
      minP: this.#oneOf(0, 0, 0.1),
      seed: this.#below(1e6),
      repetitionPenalty: this.#oneOf(1, 1.3, 0.7, 10),
      presencePenalty: this.#oneOf(0, 0.3, -1.7, 2),
      frequencyPenalty: this.#oneOf(0, 0.1, -0.6),
      logitBias: biased.map((id) => [id, this.#oneOf(-100, 100, 0.1, -3.3, 0)]),
    };
  }

  #mask(): TokenMask {
    const most = tokenMaskWords(this.#vocabulary);
    const allowed = this.#oneOf(0, 0.02, 0.5, 1);
    // Words that are not there forbid theirs.
    return Uint32Array.from({ length: this.#oneOf(most, most, 3) }, () => {
      let word = 0;
      for (let bit = 0; bit < 32; bit++) word = (word << 1) | Number(this.#random.next() < allowed);
      return word;
    });
  }

  #ids(count: number): number[] {
    const among = this.#oneOf(4, this.#vocabulary);
    return Array.from({ length: count }, () => this.#below(among));
  }

  #below(limit: number): number {
    return Math.floor(this.#random.next() * limit);
  }

  #oneOf<T>(...values: readonly [T, ...T[]]): T {
    return values[this.#below(values.length)] as T;
  }
}

const knownAnswer = ({ answer, lastIsUnseen }: RowCase): readonly number[] =>
  lastIsUnseen ? answer.slice(0, -1) : answer;

/** What the step block says of a row: its sampler has not been told the last token where the device alone knows it. */
function stepRowOf(row: RowCase, place: number): Partial<StepRow> {
  const sampler = new Sampler(row.parameters, row.prompt, knownAnswer(row));
  const adjustments = sampler.planAdjustments(row.lastIsUnseen ? 1 : 0);
  const draw = new Sampler(row.parameters, row.prompt, row.answer).planDraw();
  return {
    wanted: 'token',
    ...(row.lastIsUnseen ? { token: -1 - place } : {}),
    ...(draw === null ? {} : { draw }),
    ...(adjustments === null ? {} : { adjustments }),
    ...(row.mask === null ? {} : { mask: row.mask }),
  };
}

/** The logits that the row's token is chosen from, by the sampler's own parts. */
function adjusted(row: RowCase, candidates: number): Float32Array {
  const logits = row.logits.slice(0, candidates);
  const adjustments = new Sampler(row.parameters, row.prompt, row.answer).planAdjustments();
  adjustments?.tokens.apply(logits, adjustments.penalties);
  if (row.mask !== null) applyTokenMask(logits, row.mask);
  return logits;
}

/** All NaN are one. */
const bitsOf = (logits: Float32Array): readonly number[] =>
  Array.from(new Uint32Array(logits.buffer, logits.byteOffset, logits.length), (bits, index) =>
    Number.isNaN(logits[index]) ? -1 : bits,
  );

for (const [target, vocabularySize, runs] of [
  [EMULATED_TARGETS[0], SMALL_CONFIG.vocabularySize, 12],
  [EMULATED_TARGETS[1], SMALL_CONFIG.vocabularySize, 6],
  // Lists longer than a block.
  [EMULATED_TARGETS[0], 2504, 3],
] as const) {
  const config: GptOssConfig = { ...SMALL_CONFIG, vocabularySize };
  const context: KernelContext = { ...contextFor(target), config };
  const candidates = vocabularySize - PADDING;

  describe(`penalties, biases and masks on the GPU, emulated as ${target.architecture}, ${vocabularySize} tokens`, function () {
    this.timeout(600_000);
    let emulator: KernelEmulator;
    before(function () {
      skipWithoutHostCompiler.call(this);
      emulator = new KernelEmulator(target);
    });
    after(() => emulator?.dispose());

    it('make of the logits what the sampler makes of them, to the bit, and the same tokens', () => {
      const property = fc.property(fc.nat(), (seed) => {
        const cases = new Cases(seed, vocabularySize);
        const before = Array.from({ length: FIRST }, () => cases.row());
        const rows = Array.from({ length: ROWS }, () => cases.row());
        const all = [...before, ...rows];
        const chosen = Int32Array.from(all, ({ answer }) => answer.at(-1) ?? -1);
        const step = stepOf(all.length, (_, index) => stepRowOf(all[index] as RowCase, index));
        const logits = poison(new Float32Array(ROWS * vocabularySize + GUARD));
        for (const [index, row] of rows.entries()) {
          logits.set(row.logits, index * vocabularySize);
          logits.fill(1000, (index + 1) * vocabularySize - PADDING, (index + 1) * vocabularySize);
        }
        const changed = { step, logits, candidates, first: FIRST };
        runForm(emulator, adjustForm(context), ROWS + 1, { ...changed, chosen });
        runForm(emulator, maskForm(context), (ROWS + 1) * LARGEST_BLOCKS, changed);
        assert.ok(isTailPoisoned(logits, GUARD * 4));
        for (const [index, row] of rows.entries()) {
          const found = logits.subarray(index * vocabularySize, index * vocabularySize + candidates);
          assert.deepEqual(bitsOf(found), bitsOf(adjusted(row, candidates)), `logits of row ${index}`);
        }
        const tokens = poison(new Int32Array(ROWS + GUARD));
        const [found, arrivals] = [new BigInt64Array(ROWS * LARGEST_BLOCKS), new Uint32Array(ROWS)];
        for (const form of [largestForm(context), drawForm(context)]) {
          runForm(emulator, form, ROWS * LARGEST_BLOCKS, { ...changed, found, arrivals, tokens });
        }
        assert.ok(isTailPoisoned(tokens, GUARD * 4));
        const expected = rows.map(({ parameters, prompt, answer, logits: own, mask }) => {
          const sampler = new Sampler(parameters, prompt, answer);
          const row = own.subarray(0, candidates);
          const token = sampler.sample(row, mask);
          return Number.isNaN(row[token]) ? -1 : token;
        });
        assert.deepEqual([...tokens.subarray(0, ROWS)], expected);
      });
      fc.assert(property, { numRuns: runs, seed: 20_261_130 });
    });
  });
}
