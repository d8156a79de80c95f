import assert from 'node:assert/strict';
import { KernelEmulator } from '@switchyard/gpu/testing';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { attentionBlocks, attentionForm } from '../../../src/runners/hip/attention-kernels.ts';
import { ATTENTION_CHUNK, MOST_KEY_RUNS, partialsAt } from '../../../src/runners/hip/sizes.ts';
import { BLOCK_POSITIONS } from '../../../src/runners/kv-sequences.ts';
import { EMULATED_TARGETS, NVIDIA_TARGET } from './emulated-runner.ts';
import { assertNear, guarded, outputOf, stepOf } from './kernel-cases.ts';
import { KvCache } from './kv-cache.ts';
import { SMALL_CONFIG, contextFor, randomFloats, runForm } from './small-model.ts';

const { attentionHeads, keyValueHeads, headDim } = SMALL_CONFIG;
const WIDTH = attentionHeads * headDim;
/** Sums of thousands of shares in f32. */
const TOLERANCE = 2e-5;
const IN_RUNS_OF_ONE = MOST_KEY_RUNS * ATTENTION_CHUNK;
/** Rows of one chunk, of as many as are runs by themselves, of one key more, and of some more runs, the last one short. */
const POSITIONS = [16, IN_RUNS_OF_ONE - 1, IN_RUNS_OF_ONE, IN_RUNS_OF_ONE + 6 * ATTENTION_CHUNK + 76];

describe('blocks of attention', () => {
  it('are one for each run of keys of a row alone, and few for each of many rows', () => {
    assert.equal(attentionBlocks(8, MOST_KEY_RUNS, 132), MOST_KEY_RUNS);
    assert.equal(attentionBlocks(64 * 8, MOST_KEY_RUNS, 132), 3);
    assert.equal(attentionBlocks(512 * 8, MOST_KEY_RUNS, 132), 1);
    assert.equal(attentionBlocks(8, 1, 132), 1);
  });
});

for (const target of [...EMULATED_TARGETS, NVIDIA_TARGET]) {
  describe(`attention to thousands of keys, emulated as ${target.architecture}`, function () {
    this.timeout(600_000);
    let emulator: KernelEmulator;
    before(function () {
      skipWithoutHostCompiler.call(this);
      emulator = new KernelEmulator(target);
    });
    after(() => emulator?.dispose());

    for (const kv of ['int16', 'f32'] as const)
      it(`gives the reference, and the same bits however many blocks share the keys, KV in ${kv}`, () => {
        const tokens = Math.max(...POSITIONS) + 1;
        const blocks = Math.ceil(tokens / BLOCK_POSITIONS);
        const cache = new KvCache(blocks, kv);
        // Scattered: no block stands where its number would suggest.
        const full = Array.from({ length: blocks }, (_, index) => (index * 7 + 3) % blocks);
        assert.equal(new Set(full).size, blocks);
        const written = randomFloats(2 * tokens * keyValueHeads * headDim, 1);
        const vectors = [0, 1].map((part) => {
          for (let position = 0; position < tokens; position++) {
            for (let head = 0; head < keyValueHeads; head++) {
              const from = ((part * tokens + position) * keyValueHeads + head) * headDim;
              const block = full[Math.floor(position / BLOCK_POSITIONS)] ?? 0;
              cache.write(part, block, position, head, written.subarray(from, from + headDim));
            }
          }
          return cache.readAll(part, full, tokens);
        });
        const queries = randomFloats(POSITIONS.length * WIDTH, 2, 2);
        const sinks = randomFloats(attentionHeads, 3);
        const step = stepOf(POSITIONS.length, (_, row) => {
          const position = POSITIONS[row] as number;
          // Tables of its own: each is a sequence.
          return { position, partials: partialsAt(position), tables: { full, window: [], windowFirst: 0 } };
        });
        const form = attentionForm(contextFor(target, kv));
        const arrivals = new Uint32Array(POSITIONS.length * keyValueHeads);
        const partialsOfAll = POSITIONS.reduce((sum, position) => sum + partialsAt(position), 0);
        const outputs = [1, 3, MOST_KEY_RUNS].map((shares) => {
          const output = outputOf(POSITIONS.length * WIDTH);
          runForm(emulator, form, POSITIONS.length * keyValueHeads * shares, {
            step,
            queries,
            cache: cache.elements,
            sinks,
            partials: outputOf(partialsOfAll * attentionHeads * (headDim + 2)),
            arrivals,
            output,
            blocks: shares,
            layer: 0,
            isWindow: 0,
          });
          assert.ok(arrivals.every((count) => count === 0));
          return guarded(output);
        });
        const vectorOf = (part: number, position: number, head: number): Float64Array => {
          const from = (position * keyValueHeads + head) * headDim;
          return vectors[part]?.subarray(from, from + headDim) ?? new Float64Array();
        };
        const right = POSITIONS.flatMap((position, row) => [...attendRow(position, row, { queries, sinks, vectorOf })]);
        for (const output of outputs) {
          assertNear(output, Float64Array.from(right), TOLERANCE, 'the rows');
          assert.deepEqual([...output], [...(outputs[0] ?? [])]);
        }
      });
  });
}

interface RowInputs {
  readonly queries: Float32Array;
  readonly sinks: Float32Array;
  /** Of a key (0) or value (1). */
  readonly vectorOf: (part: number, position: number, head: number) => Float64Array;
}

/** All heads of one row in f64. */
function attendRow(position: number, row: number, { queries, sinks, vectorOf }: RowInputs): Float64Array {
  const output = new Float64Array(WIDTH);
  for (let head = 0; head < attentionHeads; head++) {
    const query = queries.subarray(row * WIDTH + head * headDim, row * WIDTH + (head + 1) * headDim);
    const shared = Math.floor((head * keyValueHeads) / attentionHeads);
    const scores = Array.from({ length: position + 1 }, (_, at) => {
      const key = vectorOf(0, at, shared);
      return query.reduce((sum, value, element) => sum + value * (key[element] as number), 0) / Math.sqrt(headDim);
    });
    const sink = sinks[head] as number;
    const largest = scores.reduce((most, score) => Math.max(most, score), sink);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - largest), Math.exp(sink - largest));
    for (const [at, score] of scores.entries()) {
      const share = Math.exp(score - largest) / total;
      vectorOf(1, at, shared).forEach((value, element) => {
        output[head * headDim + element] = (output[head * headDim + element] as number) + share * value;
      });
    }
  }
  return output;
}
