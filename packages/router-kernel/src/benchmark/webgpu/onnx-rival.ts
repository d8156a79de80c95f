/** The rival of `bench --backend webgpu`: ONNX Runtime's WebGPU provider on Softmax and TopK, in the same process. */

import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { rankRow, readRow, weightsOf } from '../../reference.ts';
import { resolveRouterConfig } from '../../resolve-config.ts';
import { WEIGHT_ABSOLUTE_TOLERANCE, WEIGHT_RELATIVE_TOLERANCE } from '../../suite/compare-output.ts';
import { routerModel } from './onnx-model.ts';

/** Copies of the operators in the long graph; its time less that of the graph with one, over the rest, is one's time. */
export const OPERATOR_COPIES = 9;

/** What `softmaxTopKProblems` compares, for a report. */
export const SOFTMAX_TOP_K_CHECK =
  'up to 1024 rows spread over T with the f64 reference: the K largest probabilities, and experts that have them';

const CHECKED_ROWS = 1024;
const MOST_PROBLEMS = 4;

/** f32 weights and i64 ids, [T, K] each; the weights are not renormalised. */
export interface OnnxAnswer {
  readonly weights: Float32Array;
  readonly ids: BigInt64Array;
}

/** ONNX Runtime with one and with `OPERATOR_COPIES` copies of the operators. */
export interface OnnxRival {
  /** Whether every operator runs on the WebGPU provider: a session that leaves none to the CPU could be made. */
  readonly isAllOnGpu: boolean;
  /** From host arrays to host arrays, f32 [T, E]. */
  runOne(logits: Float32Array): Promise<OnnxAnswer>;
  runMany(logits: Float32Array): Promise<OnnxAnswer>;
  dispose(): Promise<void>;
}

/** Starts it. @throws Error where the package onnxruntime-node is missing, or its WebGPU provider does not start */
export async function openOnnxRival(experts: number, topK: number): Promise<OnnxRival> {
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const createSession = (copies: number, fallback: '0' | '1'): Promise<InferenceSession> =>
    InferenceSession.create(routerModel(experts, topK, copies), {
      executionProviders: ['webgpu'],
      logSeverityLevel: 3,
      extra: { session: { force_spinning_stop: '1', disable_cpu_ep_fallback: fallback } },
    });
  const isAllOnGpu = await createSession(OPERATOR_COPIES, '1').then(
    async (session) => {
      await session.release();
      return true;
    },
    () => false,
  );
  const one = await createSession(1, '0');
  const many = await createSession(OPERATOR_COPIES, '0');
  const run = async (session: InferenceSession, logits: Float32Array): Promise<OnnxAnswer> => {
    const answer = await session.run({ logits: new Tensor('float32', logits, [logits.length / experts, experts]) });
    const data = (name: string): Tensor['data'] | undefined => answer[name]?.data;
    const [weights, ids] = [data('weights'), data('ids')];
    if (weights instanceof Float32Array && ids instanceof BigInt64Array) return { weights, ids };
    throw new TypeError('ONNX Runtime gave no f32 weights and i64 ids.');
  };
  return {
    isAllOnGpu,
    runOne: (logits) => run(one, logits),
    runMany: (logits) => run(many, logits),
    dispose: async () => {
      await one.release();
      await many.release();
    },
  };
}

/**
 * What is wrong with the K best of a softmax, in words. Experts whose probabilities are equal within the contract's
 * tolerance may stand in either order: TopK does not rank them by index.
 */
export function softmaxTopKProblems(
  logits: Float32Array,
  experts: number,
  topK: number,
  { weights, ids }: OnnxAnswer,
): readonly string[] {
  const config = resolveRouterConfig({ experts, topK, renormalize: false });
  const problems: string[] = [];
  const tokens = logits.length / experts;
  const step = Math.ceil(tokens / CHECKED_ROWS);
  for (let token = 0; token < tokens && problems.length < MOST_PROBLEMS; token += step) {
    const row = readRow(config, logits, token * experts);
    const best = weightsOf(config, row, rankRow(config, row).ids);
    const found = Array.from(ids.subarray(token * topK, (token + 1) * topK), Number);
    const isValid = new Set(found).size === topK && found.every((id) => id >= 0 && id < experts);
    const own = isValid ? weightsOf(config, row, found) : [];
    const isRight = best.every((expected, k) => {
      const tolerance = Math.max(WEIGHT_ABSOLUTE_TOLERANCE, WEIGHT_RELATIVE_TOLERANCE * expected);
      const weight = weights[token * topK + k] ?? Number.NaN;
      return Math.abs(weight - expected) <= tolerance && Math.abs((own[k] ?? Number.NaN) - expected) <= tolerance;
    });
    if (!isRight) problems.push(`row ${token} has experts ${found.join(', ')}`);
  }
  return problems;
}
