/** One MoE layer at gpt-oss-20b shapes with random MXFP4 experts: dispatch, experts, combine. */

import { decodeMxfp4 } from '@switchyard/models';
import type { GptOssConfig, GptOssLayerWeights, Tensor } from '@switchyard/models';
import { buildDispatchPlan } from '@switchyard/router-kernel';
import type { ExpertForm } from '../src/runners/ort/expert-form.ts';
import { SessionExperts } from '../src/runners/ort/session-experts.ts';

const HIDDEN = 2880;
const EXPERTS = 32;
const TOP_K = 4;
const ROUNDS = 33;

export interface LayerFigures {
  readonly megabytes: number;
  /** Milliseconds, one entry a round. */
  readonly oneToken: readonly number[];
  readonly tokens64: readonly number[];
}

/** Checks the layer against f64 arithmetic on one expert, then measures it with a different choice of experts each round. */
export async function measureLayer(form: ExpertForm): Promise<LayerFigures> {
  const config = {
    layers: 1,
    hiddenSize: HIDDEN,
    intermediateSize: HIDDEN,
    experts: EXPERTS,
    expertsPerToken: TOP_K,
    swigluLimit: 7,
  } as GptOssConfig;
  const layer = {
    gateUp: randomExperts(2 * HIDDEN, HIDDEN, 1),
    down: randomExperts(HIDDEN, HIDDEN, 2),
  } as GptOssLayerWeights;
  const experts = new SessionExperts(config, form);
  await experts.addLayer(layer, { threads: undefined, clock: { compute: 0, experts: 0, router: 0 } });
  const run = async (
    tokens: number,
    round: number,
  ): Promise<{ elapsed: number; output: Float32Array; input: Float32Array; ids: Int32Array }> => {
    const ids = Int32Array.from({ length: tokens * TOP_K }, (_, slot) => {
      const token = Math.floor(slot / TOP_K);
      return (token * 5 + (slot % TOP_K) * 8 + round * 3) % EXPERTS;
    });
    const weights = new Float32Array(ids.length).fill(1 / TOP_K);
    const input = Float32Array.from({ length: tokens * HIDDEN }, (_, index) => Math.sin(index * 1.3 + round));
    const plan = buildDispatchPlan(ids, EXPERTS);
    const phase = tokens === 1 ? 'decode' : 'prefill';
    const start = performance.now();
    const residual = new Float32Array(input.length);
    const output = await experts.mix({ layer: 0, phase, input, residual, ids, weights, plan });
    return { elapsed: performance.now() - start, output, input, ids };
  };
  checkOneToken(layer, await run(1, 0), form === 'blocks4' ? 0.25 : 1e-3);
  const oneToken: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    oneToken.push((await run(1, round)).elapsed);
  }
  const tokens64: number[] = [];
  for (let round = 0; round < 3; round++) {
    tokens64.push((await run(64, round)).elapsed);
  }
  await experts.release();
  return {
    megabytes: (EXPERTS * 3 * HIDDEN * HIDDEN * (form === 'blocks4' ? 0.75 : 1.25)) / 1e6,
    oneToken: oneToken.slice(1),
    tokens64,
  };
}

function checkOneToken(
  layer: GptOssLayerWeights,
  { output, input, ids }: { output: Float32Array; input: Float32Array; ids: Int32Array },
  bound: number,
): void {
  const sum = new Float64Array(HIDDEN);
  for (const expert of ids) {
    const gateUp = multiply(layer.gateUp, expert, input);
    const activated = Float64Array.from({ length: HIDDEN }, (_, index) => {
      const gate = Math.min(gateUp[2 * index] ?? 0, 7);
      const up = Math.min(Math.max(gateUp[2 * index + 1] ?? 0, -7), 7);
      return (up + 1) * (gate / (1 + Math.exp(-1.702 * gate)));
    });
    multiply(layer.down, expert, activated).forEach((value, index) => {
      sum[index] = (sum[index] ?? 0) + value / TOP_K;
    });
  }
  const norm = Math.sqrt(sum.reduce((total, value) => total + value * value, 0));
  const squares = output.reduce((total, value, index) => total + (value - (sum[index] ?? 0)) ** 2, 0);
  const difference = Math.sqrt(squares) / norm;
  if (!(difference <= bound)) {
    throw new Error(`The layer's output is off by ${difference} of its length: no figure counts`);
  }
}

function multiply(
  { weight }: GptOssLayerWeights['gateUp'],
  expert: number,
  input: Float32Array | Float64Array,
): Float64Array {
  const [, rows, columns] = weight.shape;
  if (weight.kind !== 'mxfp4') {
    throw new TypeError('The layer has no MXFP4 experts');
  }
  const blocks = (rows * columns) / 32;
  const values = decodeMxfp4(
    weight.blocks.bytes.subarray(expert * blocks * 16, (expert + 1) * blocks * 16),
    weight.scales.bytes.subarray(expert * blocks, (expert + 1) * blocks),
  );
  return Float64Array.from({ length: rows }, (_, row) =>
    Float64Array.from(input).reduce((sum, value, column) => sum + value * (values[row * columns + column] ?? 0), 0),
  );
}

function randomExperts(rows: number, columns: number, seed: number): GptOssLayerWeights['gateUp'] {
  const codes = new Uint32Array((EXPERTS * rows * columns) / 8);
  let state = seed;
  for (let index = 0; index < codes.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    codes[index] = state;
  }
  const blocks = columns / 32;
  const tensor = (name: string, shape: readonly number[], bytes: Uint8Array): Tensor => ({
    name,
    dtype: 'U8',
    shape,
    bytes,
  });
  return {
    weight: {
      kind: 'mxfp4',
      shape: [EXPERTS, rows, columns],
      blocks: tensor('blocks', [EXPERTS, rows, blocks, 16], new Uint8Array(codes.buffer)),
      // 2^-7: products of a few thousand terms stay within the SwiGLU's clamp.
      scales: tensor('scales', [EXPERTS, rows, blocks], new Uint8Array(EXPERTS * rows * blocks).fill(120)),
    },
    bias: bf16('bias', [EXPERTS, rows], 0),
  };
}

function bf16(name: string, shape: readonly number[], bits: number): Tensor {
  const values = new Uint16Array(shape.reduce((product, dimension) => product * dimension, 1)).fill(bits);
  return { name, dtype: 'BF16', shape, bytes: new Uint8Array(values.buffer) };
}
