/** One MoE layer at gpt-oss-20b shapes with random MXFP4 experts: dispatch, experts, combine, and a norm. */

import type { GptOssConfig, GptOssLayerWeights, Tensor } from '@switchyard/models';
import { buildDispatchPlan } from '@switchyard/router-kernel';
import type { ExpertForm } from '../src/runners/ort/expert-weights.ts';
import { expertAsF32, inOrder } from '../src/runners/ort/expert-weights.ts';
import { GraphSession, f32Output, f32Tensor } from '../src/runners/ort/graph-session.ts';
import { lastGraph } from '../src/runners/ort/layer-graph.ts';
import { planInputs } from '../src/runners/ort/plan-inputs.ts';

const HIDDEN = 2880;
const EXPERTS = 32;
const TOP_K = 4;
/** The LM head is cut to a sliver, so that the time is the layer's. */
const VOCABULARY = 32;
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
    hiddenSize: HIDDEN,
    intermediateSize: HIDDEN,
    experts: EXPERTS,
    expertsPerToken: TOP_K,
    swigluLimit: 7,
    rmsNormEpsilon: 1e-5,
    vocabularySize: VOCABULARY,
  } as GptOssConfig;
  const layer = {
    gateUp: randomExperts(2 * HIDDEN, HIDDEN, 1),
    down: randomExperts(HIDDEN, HIDDEN, 2),
  } as GptOssLayerWeights;
  const norm = bf16('norm', [HIDDEN], 0x3f80);
  const head = bf16('head', [VOCABULARY, HIDDEN], 0);
  new Uint16Array(head.bytes.buffer).forEach((_, index, bits) => {
    // The identity on the first outputs: the "logits" are the normalised sums themselves.
    bits[index] = index % (HIDDEN + 1) === 0 ? 0x3f80 : 0;
  });
  const graph = lastGraph(config, layer, norm, head, form);
  const megabytes = graph.build().externalData.reduce((sum, { data }) => sum + data.length, 0) / 1e6;
  const session = await GraphSession.create(graph, undefined, { compute: 0, router: 0 });
  const run = async (
    tokens: number,
    round: number,
  ): Promise<{ elapsed: number; logits: Float32Array; input: Float32Array; ids: Int32Array }> => {
    const ids = Int32Array.from({ length: tokens * TOP_K }, (_, slot) => {
      const token = Math.floor(slot / TOP_K);
      return (token * 5 + (slot % TOP_K) * 8 + round * 3) % EXPERTS;
    });
    const gates = new Float32Array(ids.length).fill(1 / TOP_K);
    const input = Float32Array.from({ length: tokens * HIDDEN }, (_, index) => Math.sin(index * 1.3 + round));
    const feeds = {
      ...planInputs(ids, gates, buildDispatchPlan(ids, EXPERTS), TOP_K),
      residual: f32Tensor(new Float32Array(tokens * HIDDEN), [tokens, 1, HIDDEN]),
      expertInput: f32Tensor(input, [tokens, HIDDEN]),
    };
    const start = performance.now();
    const outputs = await session.run(feeds);
    return { elapsed: performance.now() - start, logits: f32Output(outputs, 'logits'), input, ids };
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
  await session.release();
  return { megabytes, oneToken: oneToken.slice(1), tokens64 };
}

function checkOneToken(
  layer: GptOssLayerWeights,
  { logits, input, ids }: { logits: Float32Array; input: Float32Array; ids: Int32Array },
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
  const scale = Math.sqrt(sum.reduce((total, value) => total + value * value, 0) / HIDDEN + 1e-5);
  const squares = logits.reduce((total, value, index) => total + (value - (sum[index] ?? 0) / scale) ** 2, 0);
  const difference = Math.sqrt(squares / logits.length);
  if (!(difference <= bound)) {
    throw new Error(`The layer's normalised output is off by ${difference} (root mean square): no figure counts`);
  }
}

function multiply(
  { weight }: GptOssLayerWeights['gateUp'],
  expert: number,
  input: Float32Array | Float64Array,
): Float64Array {
  const [, rows, columns] = weight.shape;
  const { bytes } = expertAsF32(weight, expert, inOrder);
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, rows * columns);
  const sums = new Float64Array(rows);
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++) {
      sums[row] = (sums[row] ?? 0) + (input[column] ?? 0) * (values[column * rows + row] ?? 0);
    }
  }
  return sums;
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
