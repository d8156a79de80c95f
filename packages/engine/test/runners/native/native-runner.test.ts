import assert from 'node:assert/strict';
import type { GptOssConfig, GptOssWeights } from '@switchyard/models';
import { forward } from '../../../src/reference/forward.ts';
import { createNativeRunner } from '../../../src/runners/native/index.ts';
import type { LibraryEntry } from '../../../src/runners/native/library.ts';
import type { LogitsRunner } from '../../../src/runners/logits-runner.ts';
import { randomWeights, shapeConfig } from '../../fixtures/random-weights.ts';
import { errorOf } from '../hip/small-model.ts';
import { USABLE_LIBRARIES } from './usable-libraries.ts';

/** Shapes with what the kernels cut off at the edges: vectors, tiles, panels, groups of MXFP4 blocks, heads of a group. */
const SHAPES: Readonly<Record<string, GptOssConfig>> = {
  'rows of whole groups': shapeConfig({
    hidden_size: 256,
    intermediate_size: 128,
    head_dim: 64,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    num_local_experts: 8,
    num_experts_per_tok: 4,
    sliding_window: 16,
    vocab_size: 320,
  }),
  'one, two and three blocks in the last group': shapeConfig({
    hidden_size: 160,
    intermediate_size: 96,
    head_dim: 32,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    num_local_experts: 5,
    num_experts_per_tok: 2,
    sliding_window: 24,
    vocab_size: 77,
  }),
  'heads of 80, sixteen to a key, and outputs that fill no tile': shapeConfig({
    hidden_size: 192,
    intermediate_size: 64,
    head_dim: 80,
    num_attention_heads: 16,
    num_key_value_heads: 1,
    num_local_experts: 3,
    num_experts_per_tok: 3,
    sliding_window: 1,
    vocab_size: 33,
  }),
  'rows so wide that one is read as a stream': shapeConfig({
    hidden_size: 1056,
    intermediate_size: 32,
    head_dim: 16,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    num_local_experts: 3,
    num_experts_per_tok: 2,
    sliding_window: 16,
    vocab_size: 70,
  }),
};

/** Weights of a shape, made once. */
const made = new Map<GptOssConfig, GptOssWeights>();
function weightsOf(config: GptOssConfig): GptOssWeights {
  const weights = made.get(config) ?? randomWeights(config);
  made.set(config, weights);
  return weights;
}

/** Largest difference of a logit from the reference's, as a part of the logits' root mean square. */
const TOLERANCES = { prefill: 2e-5, decode: 1e-3 };

async function runnerOf(config: GptOssConfig, library: LibraryEntry, threads: number): Promise<LogitsRunner> {
  return createNativeRunner({
    snapshot: {
      config,
      weights: weightsOf(config),
      tensorBytes: 0,
      tokenizer: { vocabularySize: config.vocabularySize },
    },
    library,
    threads,
    kvCacheBytes: 2 ** 22,
  });
}

for (const library of USABLE_LIBRARIES) {
  describe(`the native runner, ${library.file}`, function () {
    this.timeout(60_000);

    for (const [name, config] of Object.entries(SHAPES)) {
      const ids = Array.from({ length: 53 }, (_, index) => (index * 29 + 5) % config.vocabularySize);

      it(`computes what the reference does, in prefill and in decode: ${name}`, async () => {
        const expected = forward({ config, weights: weightsOf(config) }, ids).logits;
        await using runner = await runnerOf(config, library, 2);
        const prefilled = runner.createSequence();
        const [prefill] = await runner.forward([{ sequence: prefilled, tokens: Int32Array.from(ids), logits: 'all' }]);
        const first = errorOf(prefill?.logits ?? [], expected);
        assert.ok(first.largest <= TOLERANCES.prefill * first.scale, `prefill differs by ${first.largest}`);

        const decoded = runner.createSequence();
        const rows: number[] = [];
        for (const id of ids) {
          const [output] = await runner.forward([{ sequence: decoded, tokens: Int32Array.of(id) }]);
          rows.push(...(output?.logits ?? []));
        }
        const second = errorOf(rows, expected);
        assert.ok(second.largest <= TOLERANCES.decode * second.scale, `decode differs by ${second.largest}`);
      });

      it(`has the same bits with one thread and with three, in every company: ${name}`, async () => {
        const bits: Buffer[][] = [];
        for (const [threads, others] of [
          [1, 0],
          [3, 0],
          [2, 11],
          // Enough for one thread to take rows through all of a layer.
          [1, 11],
        ] as const) {
          await using runner = await runnerOf(config, library, threads);
          const sequences = Array.from({ length: others + 1 }, () => runner.createSequence());
          const steps = (tokens: number[]) =>
            sequences.map((sequence) => ({ sequence, tokens: Int32Array.from(tokens) }));
          const outputs = [await runner.forward(steps(ids)), await runner.forward(steps([7]))];
          bits.push(outputs.map((output) => Buffer.from(output.at(-1)?.logits.slice().buffer ?? new ArrayBuffer(0))));
        }
        assert.ok((bits[0]?.[0]?.length ?? 0) > 0);
        for (const others of bits) assert.deepEqual(others, bits[0]);
      });
    }

    it('tells the token of the largest logit', async () => {
      const config = SHAPES['rows of whole groups'] as GptOssConfig;
      await using runner = await runnerOf(config, library, 2);
      const tokens = Int32Array.of(5, 17, 200);
      const [logits] = await runner.forward([{ sequence: runner.createSequence(), tokens }]);
      const [largest] = await runner.forward([{ sequence: runner.createSequence(), tokens, logits: 'largest' }]);
      const row = Array.from(logits?.logits ?? []);
      assert.equal(largest?.token, row.indexOf(Math.max(...row)));
      assert.equal(largest?.logits.length, 0);
    });
  });
}

describe('the native libraries', () => {
  it('compute the same bits', async function () {
    if (USABLE_LIBRARIES.length < 2) {
      console.log('    skipped: this machine runs fewer than two of them');
      this.skip();
    }
    const config = SHAPES['one, two and three blocks in the last group'] as GptOssConfig;
    const found: Buffer[] = [];
    for (const library of USABLE_LIBRARIES) {
      await using runner = await runnerOf(config, library, 2);
      const sequence = runner.createSequence();
      const tokens = Int32Array.from({ length: 40 }, (_, index) => (index * 31) % config.vocabularySize);
      const [prefill] = await runner.forward([{ sequence, tokens, logits: 'all' }]);
      const [decode] = await runner.forward([{ sequence, tokens: Int32Array.of(3) }]);
      found.push(
        Buffer.concat(
          [prefill, decode].map((output) => Buffer.from(output?.logits.slice().buffer ?? new ArrayBuffer(0))),
        ),
      );
    }
    for (const one of found) assert.ok(one.length > 0 && one.equals(found[0] as Buffer));
  });
});
