import assert from 'node:assert/strict';
import type { GptOssLayerWeights, GptOssWeights, Mxfp4Tensor } from '@switchyard/models';
import { forward } from '../../../src/reference/forward.ts';
import { createNativeRunner } from '../../../src/runners/native/index.ts';
import type { LibraryEntry } from '../../../src/runners/native/library.ts';
import { randomWeights, shapeConfig } from '../../fixtures/random-weights.ts';
import { errorOf } from '../hip/small-model.ts';
import { USABLE_LIBRARIES } from './usable-libraries.ts';

const CONFIG = shapeConfig({
  hidden_size: 160,
  intermediate_size: 128,
  head_dim: 16,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_local_experts: 4,
  num_experts_per_tok: 2,
  sliding_window: 16,
  vocab_size: 64,
});
const IDS = Array.from({ length: 21 }, (_, index) => (index * 29 + 5) % CONFIG.vocabularySize);
/** The last layer: what it makes is seen by no other row. */
const LAST = CONFIG.layers - 1;

/** Random weights whose last layer is changed. */
function weightsWith(change: (layer: GptOssLayerWeights) => void): GptOssWeights {
  const weights = randomWeights(CONFIG);
  change(weights.layers[LAST] as GptOssLayerWeights);
  return weights;
}

const scalesOf = ({ weight }: { weight: GptOssLayerWeights['gateUp']['weight'] }): Uint8Array =>
  (weight as Mxfp4Tensor).scales.bytes;

/** Logits of every position, as a prompt and token by token. */
async function logitsOf(library: LibraryEntry, weights: GptOssWeights): Promise<readonly (readonly number[])[]> {
  await using runner = await createNativeRunner({
    snapshot: { config: CONFIG, weights, tensorBytes: 0, tokenizer: { vocabularySize: CONFIG.vocabularySize } },
    library,
    kvCacheBytes: 2 ** 22,
  });
  const sequence = runner.createSequence();
  const [prompt] = await runner.forward([{ sequence, tokens: Int32Array.from(IDS), logits: 'all' }]);
  const alone = runner.createSequence();
  const rows: number[] = [];
  for (const id of IDS) {
    const [output] = await runner.forward([{ sequence: alone, tokens: Int32Array.of(id) }]);
    rows.push(...(output?.logits ?? []));
  }
  return [Array.from(prompt?.logits ?? []), rows];
}

for (const library of USABLE_LIBRARIES) {
  describe(`scales at the ends of E8M0, ${library.file}`, function () {
    this.timeout(60_000);

    for (const part of ['gateUp', 'down'] as const) {
      it(`0 is 2^-127: ${part}`, async () => {
        const weights = weightsWith((layer) => {
          scalesOf(layer[part]).fill(0);
          // Activations of 2^120 and more, in which such weights are seen.
          const gain = layer.postAttentionNorm.bytes;
          for (let i = 1; i < gain.length; i += 2) gain[i] = 0x7b;
        });
        // Down's activations are limited by the SwiGLU: there it is that nothing else comes of them.
        const expected = forward({ config: CONFIG, weights }, IDS).logits;
        for (const found of await logitsOf(library, weights)) {
          const { largest, scale } = errorOf(found, expected);
          assert.ok(largest <= 1e-3 * scale, `differs by ${largest}`);
        }
        if (part === 'down') return;
        const without = forward(
          { config: CONFIG, weights: weightsWith((layer) => zeroed(layer, weights)) },
          IDS,
        ).logits;
        const { largest, scale } = errorOf([...without], expected);
        assert.ok(largest > 1e-2 * scale, 'weights of 2^-127 are seen in the logits');
      });

      it(`255 is no number, and makes none of the rows that it is in: ${part}`, async () => {
        const weights = weightsWith((layer) => {
          const scales = scalesOf(layer[part]);
          // One block in the second half of expert 1.
          scales[Math.floor((1.7 * scales.length) / CONFIG.experts)] = 255;
        });
        const { logits, routing } = forward({ config: CONFIG, weights }, IDS);
        const usesExpert = IDS.map((_, row) => routing[LAST]?.ids.subarray(2 * row, 2 * row + 2).includes(1) === true);
        assert.ok(usesExpert.includes(true) && usesExpert.includes(false), 'rows with the expert and rows without');
        for (const found of await logitsOf(library, weights)) {
          assert.deepEqual(found.map(Number.isNaN), Array.from(logits, Number.isNaN));
          const isRowNone = IDS.map((_, row) => Number.isNaN(found[row * CONFIG.vocabularySize]));
          assert.deepEqual(isRowNone, usesExpert);
        }
      });
    }
  });
}

/** The same layer, whose gate and up weights are zero. */
function zeroed(layer: GptOssLayerWeights, { layers }: GptOssWeights): void {
  layer.postAttentionNorm.bytes.set(layers[LAST]?.postAttentionNorm.bytes ?? []);
  (layer.gateUp.weight as Mxfp4Tensor).blocks.bytes.fill(0);
}
