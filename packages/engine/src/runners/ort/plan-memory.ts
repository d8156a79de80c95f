/**
 * The memory of the ONNX Runtime runner, from a checkpoint's configuration alone. Imports nothing of ONNX Runtime.
 *
 * @module
 */
import type { GptOssConfig } from '@switchyard/models';
import type { LoadPlan, WeightKind } from '../load-plan.ts';
import { LONGEST_PIECE } from './batch-pieces.ts';
import { chooseExpertForm } from './expert-form.ts';
import type { ExpertForm, ExpertPrecision } from './expert-form.ts';
import { KvCache } from './kv-cache.ts';

/** What changes the memory of a runner. */
export interface OrtPlanOptions {
  /** Defaults to `'exact'`. */
  readonly expertPrecision?: ExpertPrecision;
  /** Prompt tokens of a step. Defaults to 256. */
  readonly prefillChunk?: number;
  /** Sequences whose next tokens a step computes. Defaults to 64. */
  readonly maxSequences?: number;
}

const F32_BYTES = 4;
/** A smaller KV cache than for this many tokens is not worth loading for. */
const SMALLEST_CONTEXT = 4096;

/** Bytes a weight of experts, by their form: its own and its part of what 32 share. */
const EXPERT_BYTES: Readonly<Record<ExpertForm | 'mxfp4', number>> = {
  f32: F32_BYTES,
  blocks8: 1 + F32_BYTES / 32,
  blocks4: 0.5 + F32_BYTES / 32,
  mxfp4: 0.5 + F32_BYTES / 32,
};

/** What `createOrtRunner` will take. */
export function planOrtMemory(config: GptOssConfig, options: OrtPlanOptions = {}): LoadPlan {
  const { expertPrecision = 'exact', prefillChunk = 256, maxSequences = 64 } = options;
  const { hiddenSize, intermediateSize, experts, layers, attentionHeads, keyValueHeads, headDim } = config;
  const { vocabularySize, expertsPerToken, layerTypes, slidingWindow, contextLength } = config;
  const form = chooseExpertForm(config, expertPrecision);
  const attention = F32_BYTES * hiddenSize * 2 * (attentionHeads + keyValueHeads) * headDim;
  const router = F32_BYTES * experts * (hiddenSize + 1);
  const norms = F32_BYTES * (3 * hiddenSize + 2 * (attentionHeads + keyValueHeads) * headDim);
  const biases = F32_BYTES * experts * (2 * intermediateSize + hiddenSize);
  const expertBytes = Math.round(experts * 3 * hiddenSize * intermediateSize * EXPERT_BYTES[form]) + biases;
  const bytes: Readonly<Record<WeightKind, number>> = {
    embedding: 0,
    attention: layers * attention,
    router: layers * router,
    experts: layers * expertBytes,
    norms: layers * norms + F32_BYTES * hiddenSize,
    head: F32_BYTES * vocabularySize * hiddenSize,
  };
  const weights = Object.entries(bytes).map(([kind, bytes]) => ({ kind: kind as WeightKind, bytes }));
  const cache = new KvCache({ layerTypes, keyValueHeads, headDim, window: slidingWindow });
  const rows = Math.max(Math.min(prefillChunk, LONGEST_PIECE), maxSequences);
  return {
    runner: 'onnxruntime-cpu',
    precision: expertPrecision,
    weights,
    weightBytes: weights.reduce((sum, { bytes }) => sum + bytes, 0),
    loadingBytes: attention + router + norms + expertBytes,
    workspaceBytes: F32_BYTES * (rows * expertsPerToken * 3 * intermediateSize + 2 * maxSequences * vocabularySize),
    kvBytesPerToken: layers * keyValueHeads * headDim * 2 * F32_BYTES,
    smallestKvBytes: cache.bytes(Math.min(SMALLEST_CONTEXT, contextLength)),
  };
}
