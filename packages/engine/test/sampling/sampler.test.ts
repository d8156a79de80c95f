import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { indexOfLargest, indicesOfLargest } from '../../src/sampling/largest.ts';
import { logprobsOf, logSumExp } from '../../src/sampling/logprobs.ts';
import { resolveSampling } from '../../src/prepare/resolve-sampling.ts';
import type { SamplingParameters } from '../../src/sampling/parameters.ts';
import { RandomStream } from '../../src/sampling/random.ts';
import { Sampler } from '../../src/sampling/sampler.ts';
import { allowsToken, tokenMaskWords } from '../../src/sampling/token-mask.ts';

const parameters = (options: Partial<SamplingParameters> = {}): SamplingParameters => ({
  ...resolveSampling({ seed: 1 }, 1000, () => 0),
  ...options,
});
const logitRow = fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 200 });

/** The tokens that may come, straight from the definitions, by sorting everything. */
function naiveCandidates(logits: Float32Array, { temperature, minP, topK, topP }: SamplingParameters): Set<number> {
  const largest = Math.max(...logits);
  let rows = Array.from(logits, (logit, id) => ({ id, logit, p: Math.exp((logit - largest) / temperature) }));
  rows.sort((a, b) => b.logit - a.logit || a.id - b.id);
  // Probabilities are told apart to 2^-35 of the likeliest one's.
  if (minP > 0) rows = rows.filter(({ p }) => p >= minP - 2 ** -34);
  if (topK > 0) rows = rows.slice(0, topK);
  const total = rows.reduce((sum, { p }) => sum + p, 0);
  const kept = new Set<number>();
  let mass = 0;
  for (const { id, p } of rows) {
    kept.add(id);
    mass += p;
    if (mass >= topP * total * (1 + 1e-9)) break;
  }
  return kept;
}

describe('sampling', () => {
  it('finds the largest values as a full sort does, lower index first', () => {
    const value = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(Number.NaN), fc.constant(-Infinity));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 80 }), fc.nat(90), (values, count) => {
        const row = Float32Array.from(values);
        const key = (id: number): number => (Number.isNaN(row[id]) ? -Infinity : (row[id] ?? 0));
        const sorted = [...row.keys()].sort((a, b) => (key(b) === key(a) ? a - b : key(b) - key(a)));
        assert.deepEqual([...indicesOfLargest(row, count)], sorted.slice(0, count));
      }),
    );
  });

  it('takes the largest logit at temperature 0, the lower id on ties', () => {
    assert.equal(new Sampler(parameters(), new Int32Array(0)).sample(Float32Array.of(1, 3, 3, 2)), 1);
    assert.equal(indexOfLargest(Float32Array.of(Number.NaN, -1)), 1);
  });

  it('only draws tokens that min-p, top-k and top-p leave', () => {
    fc.assert(
      fc.property(
        logitRow,
        fc.record({
          temperature: fc.double({ min: 0.05, max: 5, noNaN: true }),
          topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
          topK: fc.nat(250),
          minP: fc.oneof(fc.constant(0), fc.double({ min: 0.001, max: 1, noNaN: true })),
          seed: fc.nat(),
        }),
        (row, options) => {
          const logits = Float32Array.from(row);
          const allowed = naiveCandidates(logits, parameters(options));
          const sampler = new Sampler(parameters(options), new Int32Array(0));
          for (let i = 0; i < 5; i++) assert.ok(allowed.has(sampler.sample(logits)));
        },
      ),
    );
  });

  it('draws with the softmax probabilities', () => {
    const logits = Float32Array.from([0, 1, 2, -1]);
    const sampler = new Sampler(parameters({ temperature: 1, seed: 5 }), new Int32Array(0));
    const counts = [0, 0, 0, 0];
    const draws = 40_000;
    for (let i = 0; i < draws; i++) {
      const id = sampler.sample(logits);
      counts[id] = (counts[id] ?? 0) + 1;
    }
    const normalizer = logSumExp(logits);
    counts.forEach((count, id) => {
      const p = Math.exp((logits[id] ?? 0) - normalizer);
      const deviation = Math.sqrt(p * (1 - p) * draws);
      assert.ok(Math.abs(count - p * draws) < 5 * deviation, `token ${id}: ${count} of ${draws}`);
    });
  });

  it('gives the same tokens for the same seed and others for another', () => {
    const logits = Float32Array.from({ length: 100 }, (_, i) => Math.sin(i));
    const draw = (seed: number): number[] => {
      const sampler = new Sampler(parameters({ temperature: 1, seed }), new Int32Array(0));
      return Array.from({ length: 20 }, () => sampler.sample(logits));
    };
    assert.deepEqual(draw(3), draw(3));
    assert.notDeepEqual(draw(3), draw(4));
    assert.notDeepEqual(draw(3), draw(3 + 2 ** 32));
  });

  it('makes numbers in [0, 1)', () => {
    const random = new RandomStream(0);
    for (let i = 0; i < 1000; i++) {
      const value = random.next();
      assert.ok(value >= 0 && value < 1);
    }
  });

  it('applies penalties, bias and mask without changing the logits', () => {
    const logits = Float32Array.of(2, 1.9, -1);
    const copy = logits.slice();
    const none = new Int32Array(0);
    const presence = new Sampler(parameters({ presencePenalty: 1 }), none);
    assert.deepEqual([presence.sample(logits), presence.sample(logits)], [0, 1]);
    const repetition = new Sampler(parameters({ repetitionPenalty: 2 }), Int32Array.of(0));
    assert.equal(repetition.sample(logits), 1);
    assert.equal(new Sampler(parameters({ logitBias: [[2, 50]] }), none).sample(logits), 2);
    const mask = new Uint32Array(tokenMaskWords(3)).fill(0b100);
    assert.equal(new Sampler(parameters(), none).sample(logits, mask), 2);
    assert.equal(new Sampler(parameters({ temperature: 2, seed: 9 }), none).sample(logits, mask), 2);
    assert.deepEqual(logits, copy);
  });

  it('changes logits as penalties, bias and mask are defined, whatever was said before', () => {
    const token = fc.nat(20);
    const penalty = fc.oneof(fc.constant(0), fc.double({ min: -2, max: 2, noNaN: true }));
    const value = fc.oneof(fc.float({ min: -20, max: 20, noNaN: true }), fc.constantFrom(-0, 0, -Infinity, Number.NaN));
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 21, maxLength: 21 }),
        fc.array(token, { maxLength: 30 }),
        fc.array(token, { maxLength: 30 }),
        fc.record({
          repetitionPenalty: fc.oneof(fc.constant(1), fc.double({ min: 0.01, max: 10, noNaN: true })),
          presencePenalty: penalty,
          frequencyPenalty: penalty,
          logitBias: fc.uniqueArray(fc.tuple(token, fc.double({ min: -100, max: 100, noNaN: true })), {
            selector: ([id]) => id,
          }),
        }),
        fc.option(fc.nat(2 ** 21 - 1)),
        (row, prompt, answer, options, bits) => {
          const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = options;
          const changed = Float32Array.from(row);
          for (const id of new Set([...prompt, ...answer])) {
            const logit = changed[id] as number;
            changed[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
          }
          for (const id of new Set(answer)) {
            const count = answer.filter((other) => other === id).length;
            changed[id] = (changed[id] as number) - presencePenalty - count * frequencyPenalty;
          }
          for (const [id, bias] of logitBias) changed[id] = (changed[id] as number) + bias;
          const mask = bits === null ? null : Uint32Array.of(bits);
          changed.forEach((logit, id) => {
            if (mask !== null && !allowsToken(mask, id) && !Number.isNaN(logit)) changed[id] = -Infinity;
          });
          const logits = Float32Array.from(row);
          const found = new Sampler(parameters(options), Int32Array.from(prompt), answer).sample(logits, mask);
          assert.equal(found, indexOfLargest(changed));
          const drawn = { temperature: 3, seed: 5 };
          const sampler = new Sampler(parameters({ ...options, ...drawn }), Int32Array.from(prompt), answer);
          // The random numbers of the answer's tokens are gone.
          const plain = new Sampler(parameters(drawn), new Int32Array(0), answer);
          assert.equal(sampler.sample(logits, mask), plain.sample(changed));
        },
      ),
    );
  });

  it('never chooses NaN where a number is there, be it -Infinity', () => {
    assert.equal(indexOfLargest(Float32Array.of(Number.NaN, -Infinity, -Infinity)), 1);
    assert.equal(indexOfLargest(Float32Array.of(Number.NaN, Number.NaN)), 0);
    const mask = new Uint32Array(1).fill(0b11);
    assert.equal(new Sampler(parameters(), new Int32Array(0)).sample(Float32Array.of(Number.NaN, -1, 5), mask), 1);
  });

  it('reports log-probabilities of the raw logits', () => {
    const { logprob, topIds, topLogprobs } = logprobsOf(Float32Array.of(0, Math.log(3)), 0, 2);
    assert.ok(Math.abs(logprob - Math.log(0.25)) < 1e-7);
    assert.deepEqual([...topIds], [1, 0]);
    assert.ok(Math.abs((topLogprobs[0] ?? 0) - Math.log(0.75)) < 1e-7);
  });

  it('refuses absurd values by name', () => {
    const absurd = [
      { temperature: -1 },
      { temperature: Number.NaN },
      { topP: 0 },
      { topP: 1.1 },
      { topK: 1.5 },
      { minP: 2 },
      { seed: -1 },
      { seed: 0.5 },
      { repetitionPenalty: 0 },
      { presencePenalty: 3 },
      { frequencyPenalty: Infinity },
    ];
    for (const options of absurd) {
      assert.throws(() => resolveSampling(options, 10, () => 0), {
        code: 'INVALID_REQUEST',
        field: Object.keys(options)[0],
      });
    }
    assert.throws(() => resolveSampling({ logitBias: { 10: 1 } }, 10, () => 0), { code: 'INVALID_REQUEST' });
  });
});
