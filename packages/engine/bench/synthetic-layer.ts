/** One MoE layer at gpt-oss-20b shapes with random MXFP4 experts: dispatch, experts, combine. */

import { decodeMxfp4 } from '@switchyard/models';
import type { Benchmark } from '@switchyard/gpu/benchmark';
import { usableProcessors } from '@switchyard/gpu/environment';
import type { GptOssConfig, GptOssLayerWeights, Tensor } from '@switchyard/models';
import { buildDispatchPlan } from '@switchyard/router-kernel';
import type { ExpertForm } from '../src/runners/ort/expert-form.ts';
import { SessionExperts } from '../src/runners/ort/session-experts.ts';

/** A layer's shape; hidden and intermediate size are the same. */
interface LayerShape {
  readonly hiddenSize: number;
  readonly experts: number;
  readonly topK: number;
}

/** gpt-oss-20b's, and a small one. */
const SHAPES = {
  full: { hiddenSize: 2880, experts: 32, topK: 4 },
  quick: { hiddenSize: 128, experts: 8, topK: 4 },
} as const satisfies Record<string, LayerShape>;

/** Two forms of the same experts. `bound` is what the output may be off, relative to its length. */
const FORMS = [
  { name: 'int4', form: 'blocks4', bound: 0.25 },
  { name: 'exact', form: 'blocks8', bound: 1e-3 },
] as const satisfies readonly { name: string; form: ExpertForm; bound: number }[];

/** Both forms beside each other, with a different choice of experts each round. */
export async function benchmarkLayer(benchmark: Benchmark, quick: boolean): Promise<void> {
  const shape = SHAPES[quick ? 'quick' : 'full'];
  const { hiddenSize, experts } = shape;
  const layer = {
    gateUp: randomExperts(experts, 2 * hiddenSize, hiddenSize, 1),
    down: randomExperts(experts, hiddenSize, hiddenSize, 2),
  } as GptOssLayerWeights;
  const loaded = [];
  for (const { name, form, bound } of FORMS) {
    const one = await loadLayer(shape, layer, form);
    const what = `a token's output with f64 arithmetic, within ${bound} of its length`;
    const check = await benchmark.check(name, what, async () =>
      outputProblems(shape, layer, await one.run(1, 0), bound),
    );
    loaded.push({ name, check, ...one });
  }
  for (const { tokens, rounds } of [
    { tokens: 1, rounds: quick ? 2 : 32 },
    { tokens: 64, rounds: quick ? 1 : 3 },
  ]) {
    await benchmark.measure({
      name: 'MoE layer: dispatch, experts, combine',
      unit: 'ms',
      better: 'lower',
      parameters: { ...shape, tokens },
      rounds,
      contenders: loaded.map((one) => ({
        name: one.name,
        check: one.check,
        sample: async (round) => (await one.run(tokens, round + 1)).elapsed,
      })),
    });
  }
  for (const one of loaded) await one.release();
}

interface LayerRun {
  /** Milliseconds. */
  readonly elapsed: number;
  readonly output: Float32Array;
  readonly input: Float32Array;
  readonly ids: Int32Array;
}

async function loadLayer(
  { hiddenSize, experts, topK }: LayerShape,
  layer: GptOssLayerWeights,
  form: ExpertForm,
): Promise<{ run(tokens: number, round: number): Promise<LayerRun>; release(): Promise<void> }> {
  const config = {
    layers: 1,
    hiddenSize,
    intermediateSize: hiddenSize,
    experts,
    expertsPerToken: topK,
    swigluLimit: 7,
  } as GptOssConfig;
  const sessions = new SessionExperts(config, form);
  await sessions.addLayer(layer, { threads: usableProcessors().cores, clock: { compute: 0, experts: 0, router: 0 } });
  return {
    run: async (tokens, round) => {
      const ids = Int32Array.from({ length: tokens * topK }, (_, slot) => {
        const token = Math.floor(slot / topK);
        return (token * 5 + (slot % topK) * (experts / topK) + round * 3) % experts;
      });
      const weights = new Float32Array(ids.length).fill(1 / topK);
      const input = Float32Array.from({ length: tokens * hiddenSize }, (_, index) => Math.sin(index * 1.3 + round));
      const plan = buildDispatchPlan(ids, experts);
      const phase = tokens === 1 ? 'decode' : 'prefill';
      const start = performance.now();
      const residual = new Float32Array(input.length);
      const output = await sessions.mix({ layer: 0, phase, input, residual, ids, weights, plan });
      return { elapsed: performance.now() - start, output, input, ids };
    },
    release: () => sessions.release(),
  };
}

function outputProblems(
  { hiddenSize, topK }: LayerShape,
  layer: GptOssLayerWeights,
  { output, input, ids }: LayerRun,
  bound: number,
): string[] {
  const sum = new Float64Array(hiddenSize);
  for (const expert of ids) {
    const gateUp = multiply(layer.gateUp, expert, input);
    const activated = Float64Array.from({ length: hiddenSize }, (_, index) => {
      const gate = Math.min(gateUp[2 * index] ?? 0, 7);
      const up = Math.min(Math.max(gateUp[2 * index + 1] ?? 0, -7), 7);
      return (up + 1) * (gate / (1 + Math.exp(-1.702 * gate)));
    });
    multiply(layer.down, expert, activated).forEach((value, index) => {
      sum[index] = (sum[index] ?? 0) + value / topK;
    });
  }
  const norm = Math.sqrt(sum.reduce((total, value) => total + value * value, 0));
  const squares = output.reduce((total, value, index) => total + (value - (sum[index] ?? 0)) ** 2, 0);
  const difference = Math.sqrt(squares) / norm;
  return difference <= bound ? [] : [`the output is off by ${difference} of its length`];
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

function randomExperts(experts: number, rows: number, columns: number, seed: number): GptOssLayerWeights['gateUp'] {
  const codes = new Uint32Array((experts * rows * columns) / 8);
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
      shape: [experts, rows, columns],
      blocks: tensor('blocks', [experts, rows, blocks, 16], new Uint8Array(codes.buffer)),
      // 2^-7: products of a few thousand terms stay within the SwiGLU's clamp.
      scales: tensor('scales', [experts, rows, blocks], new Uint8Array(experts * rows * blocks).fill(120)),
    },
    bias: bf16('bias', [experts, rows], 0),
  };
}

function bf16(name: string, shape: readonly number[], bits: number): Tensor {
  const values = new Uint16Array(shape.reduce((product, dimension) => product * dimension, 1)).fill(bits);
  return { name, dtype: 'BF16', shape, bytes: new Uint8Array(values.buffer) };
}
