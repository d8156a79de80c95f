import assert from 'node:assert/strict';
import { embeddedCheckpointPath, openSnapshot } from '@switchyard/models';
import type { GptOssConfig, GptOssLayerWeights, Snapshot } from '@switchyard/models';
import { buildDispatchPlan } from '@switchyard/router-kernel';
import { readF32 } from '../src/runners/ort/dense-weights.ts';
import { expertAsF32, inOrder } from '../src/runners/ort/expert-weights.ts';
import type { ExpertForm } from '../src/runners/ort/expert-weights.ts';
import { GraphSession, f32Output, f32Tensor } from '../src/runners/ort/graph-session.ts';
import { lastGraph } from '../src/runners/ort/layer-graph.ts';
import { planInputs } from '../src/runners/ort/plan-inputs.ts';

const TOKENS = 9;

describe('expert block: dispatch, experts, combine', () => {
  let snapshot: Snapshot;

  before(async () => {
    snapshot = await openSnapshot(embeddedCheckpointPath());
  });

  after(() => {
    snapshot.dispose();
  });

  // Relative to the largest logit. 8-bit blocks: activations as two int8 terms; 4-bit: rounded weights and one term.
  const bounds: readonly [ExpertForm, number][] = [
    ['f32', 5e-6],
    ['blocks8', 1e-4],
    ['blocks4', 0.15],
  ];
  for (const [form, bound] of bounds) {
    it(`agrees with the formulas in f64 with experts as ${form}`, async () => {
      const { config, weights } = snapshot;
      const layer = weights.layers[1];
      assert.ok(layer);
      const { hiddenSize, experts, expertsPerToken, vocabularySize } = config;
      const input = Float32Array.from({ length: TOKENS * hiddenSize }, (_, index) => Math.sin(index * 0.7) * 3);
      const residual = Float32Array.from(input, (value) => value * 0.1);
      // Token 0 and 1 share all experts, and expert 31 is in every token: blocks of no, one, two and nine rows.
      const ids = Int32Array.from({ length: TOKENS * expertsPerToken }, (_, slot) => {
        const [token, k] = [Math.floor(slot / expertsPerToken), slot % expertsPerToken];
        return k === 0 ? 31 : (Math.max(token, 1) * 2 + k * 3) % 31;
      });
      const gates = Float32Array.from(ids, (_, slot) => [0.4, 0.3, 0.2, 0.1][slot % 4] as number);

      const clock = { compute: 0, router: 0 };
      const graph = lastGraph(config, layer, weights.finalNorm, weights.lmHead, form);
      const session = await GraphSession.create(graph, 1, clock);
      const outputs = await session.run({
        ...planInputs(ids, gates, buildDispatchPlan(ids, experts), expertsPerToken),
        residual: f32Tensor(residual, [TOKENS, 1, hiddenSize]),
        expertInput: f32Tensor(input, [TOKENS, hiddenSize]),
      });
      await session.release();

      const logits = f32Output(outputs, 'logits');
      const expected = expectedLogits(snapshot, layer, input, residual, ids, gates);
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      assert.equal(logits.length, TOKENS * vocabularySize);
      logits.forEach((value, index) => {
        assert.ok(Math.abs(value - (expected[index] as number)) <= bound * largest, `logit ${index}`);
      });
      assert.ok(clock.compute > 0);
    });
  }
});

function expectedLogits(
  { config, weights }: Snapshot,
  layer: GptOssLayerWeights,
  input: Float32Array,
  residual: Float32Array,
  ids: Int32Array,
  gates: Float32Array,
): Float64Array {
  const { hiddenSize, vocabularySize, expertsPerToken, rmsNormEpsilon } = config;
  const norm = readF32(weights.finalNorm);
  const head = readF32(weights.lmHead);
  const logits = new Float64Array(TOKENS * vocabularySize);
  for (let token = 0; token < TOKENS; token++) {
    const sum = Float64Array.from(residual.subarray(token * hiddenSize, (token + 1) * hiddenSize));
    for (let k = 0; k < expertsPerToken; k++) {
      const slot = token * expertsPerToken + k;
      const output = expertOutput(
        config,
        layer,
        ids[slot] as number,
        input.subarray(token * hiddenSize, (token + 1) * hiddenSize),
      );
      output.forEach((value, index) => {
        sum[index] = (sum[index] as number) + value * (gates[slot] as number);
      });
    }
    const meanSquare = sum.reduce((total, value) => total + value * value, 0) / hiddenSize;
    const normalized = sum.map(
      (value, index) => (value / Math.sqrt(meanSquare + rmsNormEpsilon)) * (norm[index] as number),
    );
    for (let id = 0; id < vocabularySize; id++) {
      logits[token * vocabularySize + id] = dot(normalized, head, id * hiddenSize);
    }
  }
  return logits;
}

/** down(clamped SwiGLU(gate_up(x))), as the GPT-OSS model card and reference code define it. */
function expertOutput(
  config: GptOssConfig,
  layer: GptOssLayerWeights,
  expert: number,
  input: Float32Array,
): Float64Array {
  const { hiddenSize, intermediateSize, swigluLimit } = config;
  const gateUp = linear(layer.gateUp, expert, input, hiddenSize, 2 * intermediateSize);
  const activated = Float64Array.from({ length: intermediateSize }, (_, index) => {
    const gate = Math.min(gateUp[2 * index] as number, swigluLimit);
    const up = Math.min(Math.max(gateUp[2 * index + 1] as number, -swigluLimit), swigluLimit);
    return (up + 1) * (gate / (1 + Math.exp(-1.702 * gate)));
  });
  return linear(layer.down, expert, activated, intermediateSize, hiddenSize);
}

function linear(
  { weight, bias }: GptOssLayerWeights['gateUp'],
  expert: number,
  input: Float32Array | Float64Array,
  columns: number,
  rows: number,
): Float64Array {
  const { bytes } = expertAsF32(weight, expert, inOrder);
  const transposed = new Float32Array(bytes.buffer, bytes.byteOffset, rows * columns);
  const biases = readF32(bias, expert * rows, rows);
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = biases[row] as number;
    for (let column = 0; column < columns; column++) {
      sum += (input[column] as number) * (transposed[column * rows + row] as number);
    }
    return sum;
  });
}

function dot(a: Float64Array, b: Float32Array, start: number): number {
  return a.reduce((sum, value, index) => sum + value * (b[start + index] as number), 0);
}
