import assert from 'node:assert/strict';
import type { GptOssLayerWeights, Mxfp4Tensor, Tensor } from '@switchyard/models';
import { decodeMxfp4 } from '@switchyard/models';
import { buildDispatchPlan } from '@switchyard/router-kernel';
import fc from 'fast-check';
import { referenceExperts } from '../../../src/reference/experts.ts';
import { Mxfp4Experts } from '../../../src/runners/ort/mxfp4/mxfp4-experts.ts';
import type { ExpertShape } from '../../../src/runners/ort/mxfp4/mxfp4-experts.ts';

const BLOCK = 32;

/** Numbers from 0 to 1 that follow from the seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

function tensor(dtype: Tensor['dtype'], shape: readonly number[], bytes: Uint8Array): Tensor {
  return { name: 'test', dtype, shape, bytes };
}

type Linear = GptOssLayerWeights['gateUp'] & { readonly weight: Mxfp4Tensor };

/** Any codes, scales from 2^-9 to 2^-3, biases in [-1, 1]. */
function linear(experts: number, outputs: number, columns: number, next: () => number): Linear {
  const blocks = columns / BLOCK;
  const bytes = (count: number, value: () => number): Uint8Array => Uint8Array.from({ length: count }, value);
  const bias = Float32Array.from({ length: experts * outputs }, () => 2 * next() - 1);
  return {
    weight: {
      kind: 'mxfp4',
      shape: [experts, outputs, columns],
      blocks: tensor(
        'U8',
        [experts, outputs, blocks, 16],
        bytes(experts * outputs * blocks * 16, () => next() * 256),
      ),
      scales: tensor(
        'U8',
        [experts, outputs, blocks],
        bytes(experts * outputs * blocks, () => 118 + next() * 7),
      ),
    },
    bias: tensor('F32', [experts, outputs], new Uint8Array(bias.buffer)),
  };
}

interface Case {
  readonly shape: ExpertShape;
  readonly layer: { readonly gateUp: Linear; readonly down: Linear };
  readonly input: Float32Array;
  readonly ids: Int32Array;
  readonly weights: Float32Array;
}

const cases = fc
  .record({
    hiddenSize: fc.integer({ min: 1, max: 5 }).map((blocks) => blocks * BLOCK),
    intermediateSize: fc.integer({ min: 1, max: 4 }).map((blocks) => blocks * BLOCK),
    experts: fc.integer({ min: 1, max: 9 }),
    tokens: fc.integer({ min: 1, max: 21 }),
    spread: fc.constantFrom(1e-3, 1, 30),
    seed: fc.nat(),
  })
  .map(({ tokens, spread, seed, ...sizes }): Case => {
    const next = random(seed);
    const expertsPerToken = Math.min(sizes.experts, 1 + Math.floor(next() * 4));
    const shape = { ...sizes, expertsPerToken, swigluLimit: 7 };
    const { experts, hiddenSize, intermediateSize } = sizes;
    const ids = Array.from({ length: tokens }, () =>
      Array.from({ length: experts }, (_, expert) => ({ expert, key: next() }))
        .sort((a, b) => a.key - b.key)
        .slice(0, expertsPerToken)
        .map(({ expert }) => expert),
    );
    return {
      shape,
      layer: {
        gateUp: linear(experts, 2 * intermediateSize, hiddenSize, next),
        down: linear(experts, hiddenSize, intermediateSize, next),
      },
      // A few values far from the others, as activations have them.
      input: Float32Array.from(
        { length: tokens * hiddenSize },
        () => spread * (next() < 0.02 ? 40 : 1) * (next() - 0.5),
      ),
      ids: Int32Array.from(ids.flat()),
      weights: Float32Array.from({ length: tokens * expertsPerToken }, next),
    };
  });

function compute({ shape, layer, input, ids, weights }: Case, tokens?: readonly number[]): Float32Array {
  const experts = new Mxfp4Experts(shape);
  experts.addLayer(layer);
  const chosen = tokens ?? Array.from({ length: input.length / shape.hiddenSize }, (_, token) => token);
  const rows = (values: Float32Array | Int32Array, width: number): number[] =>
    chosen.flatMap((token) => Array.from(values.subarray(token * width, (token + 1) * width)));
  const chosenIds = Int32Array.from(rows(ids, shape.expertsPerToken));
  return experts.compute(
    0,
    Float32Array.from(rows(input, shape.hiddenSize)),
    Float32Array.from(rows(weights, shape.expertsPerToken)),
    buildDispatchPlan(chosenIds, shape.experts),
  );
}

describe('MXFP4 experts', () => {
  it('agree with the definition in f64, within 3e-6 of the largest value', () => {
    fc.assert(
      fc.property(cases, (example) => {
        const { shape, layer, input, ids, weights } = example;
        const expected = referenceExperts(shape, layer, input, ids, weights);
        const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const found = compute(example);
        assert.equal(found.length, expected.length);
        found.forEach((value, index) => {
          const difference = Math.abs(value - (expected[index] as number));
          assert.ok(difference <= 3e-6 * largest, `value ${index}: ${value}, expected ${expected[index]}`);
        });
      }),
      { numRuns: 60 },
    );
  });

  it('give a token the same bits whatever else is in the step', () => {
    fc.assert(
      fc.property(cases, fc.nat(), (example, pick) => {
        const { hiddenSize } = example.shape;
        const together = compute(example);
        const token = pick % (together.length / hiddenSize);
        const alone = compute(example, [token]);
        assert.deepEqual(alone, together.subarray(token * hiddenSize, (token + 1) * hiddenSize));
      }),
      { numRuns: 40 },
    );
  });

  it('keep layers apart, and results from being overwritten by later steps', () => {
    const [first, second] = fc.sample(
      cases.filter(({ shape }) => shape.hiddenSize === 64 && shape.intermediateSize === 32 && shape.experts === 4),
      { numRuns: 2, seed: 7 },
    );
    assert.ok(first && second);
    const experts = new Mxfp4Experts(first.shape);
    experts.addLayer(first.layer);
    experts.addLayer(second.layer);
    const plan = buildDispatchPlan(first.ids, first.shape.experts);
    const results = [0, 1, 0].map((layer) => experts.compute(layer, first.input, first.weights, plan));
    assert.deepEqual(results[0], compute(first));
    assert.deepEqual(results[1], compute({ ...first, layer: second.layer }));
    assert.deepEqual(results[2], results[0]);
    assert.throws(() => experts.compute(2, first.input, first.weights, plan), /found 2 layers/);
  });

  it('unpack to the checkpoint values exactly, gate rows before up rows', () => {
    fc.assert(
      fc.property(cases, fc.nat(), ({ shape, layer }, pick) => {
        const experts = new Mxfp4Experts(shape);
        experts.addLayer(layer);
        const expert = pick % shape.experts;
        for (const part of ['gateUp', 'down'] as const) {
          const { weight } = layer[part];
          const [, outputs, columns] = weight.shape;
          const target = experts.reserve(outputs * columns * 4);
          experts.unpack(0, expert, part, target);
          const found = experts.view(target, outputs * columns);
          const decoded = decodeMxfp4(weight.blocks.bytes, weight.scales.bytes);
          for (let row = 0; row < outputs; row++) {
            const source = part === 'down' ? row : row < outputs / 2 ? 2 * row : 2 * row - outputs + 1;
            const start = (expert * outputs + source) * columns;
            // Adding 0 makes -0 into 0: half units are whole numbers, which have no -0.
            const expected = decoded.slice(start, start + columns).map((value) => value + 0);
            assert.deepEqual(found.subarray(row * columns, (row + 1) * columns), expected);
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  it('let NaN and infinity through to the tokens that hold them, and to no others', () => {
    const [example] = fc.sample(
      cases.filter(({ shape, input }) => input.length / shape.hiddenSize >= 3),
      { numRuns: 1, seed: 3 },
    );
    assert.ok(example);
    const { hiddenSize } = example.shape;
    for (const bad of [NaN, Infinity]) {
      const clean = compute(example);
      const found = compute({ ...example, input: example.input.with(hiddenSize + 5, bad) });
      assert.ok(found.subarray(hiddenSize, 2 * hiddenSize).every((value) => !Number.isFinite(value)));
      assert.deepEqual(found.subarray(0, hiddenSize), clean.subarray(0, hiddenSize));
      assert.deepEqual(found.subarray(2 * hiddenSize), clean.subarray(2 * hiddenSize));
    }
  });

  it('take rows of zeros and of magnitudes near the ends of f32', () => {
    const [example] = fc.sample(cases, { numRuns: 1, seed: 11 });
    assert.ok(example);
    const { shape, layer, ids, weights } = example;
    for (const magnitude of [0, 1e-38, 1e-20, 1e15]) {
      const input = example.input.map((value) => Math.sign(value) * magnitude);
      const expected = referenceExperts(shape, layer, input, ids, weights);
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      compute({ ...example, input }).forEach((value, index) => {
        assert.ok(Math.abs(value - (expected[index] as number)) <= 3e-6 * largest, `value ${index} at ${magnitude}`);
      });
    }
  });
});
