import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decodeBf16 } from '../../src/tensors/half-precision.ts';
import { decodeMxfp4 } from '../../src/tensors/mxfp4.ts';
import {
  CHUNK_BYTES,
  type PlannedTensor,
  planPublishedCheckpoint,
  syntheticTensorBytes,
} from '../../src/testing/index.ts';

const plan = planPublishedCheckpoint({ model: 'gpt-oss-20b', layout: 'original', layers: 2 });
const tensors = new Map(plan.files.flatMap((file) => file.tensors.map((tensor) => [tensor.name, tensor])));

function tensorNamed(name: string): PlannedTensor {
  const tensor = tensors.get(name);
  assert.ok(tensor !== undefined, `there is no tensor ${name}`);
  return tensor;
}

/** A range of a tensor's bytes, made without what lies before it. */
function bytesOf(name: string, seed: number, begin = 0, length = 65_536): Uint8Array {
  const tensor = tensorNamed(name);
  const byteLength = Math.min(length, tensor.byteLength - begin);
  return Buffer.concat([...syntheticTensorBytes({ ...tensor, byteLength, source: { name, begin } }, seed)]);
}

function meanAndDeviation(values: Float32Array): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, deviation: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length) };
}

describe('Synthetic weights', () => {
  it('come in chunks of bounded size, however large the tensor is', () => {
    const embedding = tensorNamed('embedding.weight');
    assert.equal(embedding.byteLength, 201_088 * 2880 * 2);
    const chunks = syntheticTensorBytes(embedding, 1);
    for (let index = 0; index < 20; index += 1) {
      const { value } = chunks.next();
      assert.equal(value?.length, CHUNK_BYTES);
      assert.ok(value.buffer.byteLength <= 2 * CHUNK_BYTES, 'the chunk is a view of something larger');
    }
  });

  it('are as many bytes as the tensor has', () => {
    for (const { name, byteLength } of tensors.values()) {
      if (byteLength > 30_000_000) continue;
      let bytes = 0;
      for (const chunk of syntheticTensorBytes(tensorNamed(name), 1)) bytes += chunk.length;
      assert.equal(bytes, byteLength, name);
    }
  });

  const anyRange = fc.record({
    name: fc.constantFrom(...tensors.keys()),
    seed: fc.nat(),
    block: fc.nat({ max: 8 }),
    blocks: fc.integer({ min: 1, max: 20_000 }),
  });

  it('are the same for a seed, from wherever the tensor is read', () => {
    fc.assert(
      fc.property(anyRange, ({ name, seed, block, blocks }) => {
        const begin = Math.min(block * 16, tensorNamed(name).byteLength - 16);
        const whole = bytesOf(name, seed, 0, begin + blocks * 16);
        assert.deepEqual(bytesOf(name, seed, begin, blocks * 16), whole.subarray(begin));
      }),
      { numRuns: 50 },
    );
  });

  it('differ between seeds and between tensors', () => {
    fc.assert(
      fc.property(anyRange, fc.constantFrom(...tensors.keys()), fc.nat(), ({ name, seed }, otherName, otherSeed) => {
        fc.pre(name !== otherName || seed !== otherSeed);
        // Sixty-four bytes of scales, which have the fewest values, agree with a chance of 2^-86.
        assert.notDeepEqual(bytesOf(name, seed, 0, 64), bytesOf(otherName, otherSeed, 0, 64));
      }),
    );
  });

  it('differ between all experts', () => {
    for (const part of ['mlp1_weight.blocks', 'mlp1_weight.scales', 'mlp2_weight.blocks', 'mlp1_bias']) {
      const name = `block.0.mlp.${part}`;
      const expertBytes = tensorNamed(name).byteLength / 32;
      const experts = Array.from({ length: 32 }, (_, expert) => bytesOf(name, 1, expert * expertBytes, 256));
      assert.equal(new Set(experts.map((bytes) => Buffer.from(bytes).toString('hex'))).size, 32, part);
    }
  });

  const distributions: readonly (readonly [name: string, mean: number, deviation: number])[] = [
    ['embedding.weight', 0, 1],
    ['unembedding.weight', 0, 2 / Math.sqrt(2880)],
    ['block.0.attn.qkv.weight', 0, 1 / Math.sqrt(2880)],
    ['block.0.attn.out.weight', 0, 1 / 64],
    ['block.0.mlp.gate.weight', 0, 1 / Math.sqrt(2880)],
    ['block.0.mlp.mlp1_bias', 0, 0.02],
    ['block.0.attn.norm.scale', 1, 0.1],
    ['norm.scale', 1, 0.1],
  ];
  for (const [name, mean, deviation] of distributions) {
    it(`have the mean and the deviation that ${name} is to have`, () => {
      const found = meanAndDeviation(decodeBf16(bytesOf(name, 1)));
      assert.ok(Math.abs(found.mean - mean) < 0.05 * deviation, `the mean is ${found.mean}`);
      assert.ok(Math.abs(found.deviation / deviation - 1) < 0.03, `the deviation is ${found.deviation}`);
    });
  }

  it('keep the sum of an expert row at the size of its input', () => {
    const scales = bytesOf('block.0.mlp.mlp1_weight.scales', 1, 0, 16_384);
    const found = meanAndDeviation(decodeMxfp4(bytesOf('block.0.mlp.mlp1_weight.blocks', 1, 0, 16 * 16_384), scales));
    assert.ok(Math.abs(found.mean) < 0.001, `the mean is ${found.mean}`);
    assert.ok(Math.abs(found.deviation * Math.sqrt(2880) - 1.06) < 0.03, `the deviation is ${found.deviation}`);
  });

  it('have every E2M1 code as often as any other', () => {
    const counts = Array<number>(16).fill(0);
    for (const byte of bytesOf('block.1.mlp.mlp2_weight.blocks', 1)) {
      for (const code of [byte & 15, byte >> 4]) counts[code] = (counts[code] ?? 0) + 1;
    }
    for (const count of counts) assert.ok(Math.abs(count / 8192 - 1) < 0.06, `a code comes ${count} times`);
  });
});
