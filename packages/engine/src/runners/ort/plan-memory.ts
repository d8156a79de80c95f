/**
 * The memory of the ONNX Runtime runner, from a checkpoint's configuration alone. Imports nothing of ONNX Runtime.
 */

import type { GptOssConfig } from '@switchyard/models';
import type { LoadPlan, WeightKind } from '../load-plan.ts';
import type { ExpertPrecision } from '../runner-module.ts';
import { LONGEST_PIECE } from './batch-pieces.ts';
import { MOST_SESSION_BYTES, divideExperts } from './expert-division.ts';
import { chooseDenseForm, chooseExpertForm } from './expert-form.ts';
import type { ExpertForm } from './expert-form.ts';
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

/** What 32 weights share as f32: the scale; on x64 the reordered copy has a scale and a sum. */
const SCALE_BYTES = F32_BYTES / 32;
const IS_X64 = process.arch === 'x64';

/** What `createOrtRunner` will take. Reads nothing but the configuration. */
export function planOrtMemory(config: GptOssConfig, options: OrtPlanOptions = {}): LoadPlan {
  const { expertPrecision = 'exact', prefillChunk = 256, maxSequences = 64 } = options;
  const { hiddenSize, intermediateSize, experts, layers, attentionHeads, keyValueHeads, headDim } = config;
  const { vocabularySize, expertsPerToken, layerTypes, slidingWindow, contextLength } = config;
  const form = chooseExpertForm(config, expertPrecision);
  const denseBytes = chooseDenseForm(config, expertPrecision) === 'f32' ? F32_BYTES : blockBytes(8, false);
  const expertWeights = experts * 3 * hiddenSize * intermediateSize;
  const expertBiases = F32_BYTES * experts * (2 * intermediateSize + hiddenSize);
  const expertBytes = Math.round(expertWeights * expertWeightBytes(config, form)) + expertBiases;
  const queryAndKeyRows = (attentionHeads + 2 * keyValueHeads) * headDim;
  const attention = Math.round(denseBytes * hiddenSize * 2 * (attentionHeads + keyValueHeads) * headDim);
  const router = F32_BYTES * experts * (hiddenSize + 1);
  const norms = F32_BYTES * (3 * hiddenSize + queryAndKeyRows + attentionHeads);
  const bytes: Readonly<Record<WeightKind, number>> = {
    // Rows are read from the checkpoint as tokens come.
    embedding: 0,
    attention: layers * attention,
    router: layers * router,
    experts: layers * expertBytes,
    norms: layers * norms + F32_BYTES * hiddenSize,
    head: Math.round(denseBytes * vocabularySize * hiddenSize),
  };
  const weights = Object.entries(bytes).map(([kind, bytes]) => ({ kind: kind as WeightKind, bytes }));
  const cache = new KvCache({ layerTypes, keyValueHeads, headDim, window: slidingWindow });
  const rows = Math.max(Math.min(prefillChunk, LONGEST_PIECE), maxSequences);
  return {
    runner: 'onnxruntime-cpu',
    precision: expertPrecision,
    weights,
    weightBytes: weights.reduce((sum, { bytes }) => sum + bytes, 0),
    // What is converted for one session, and where it is not read in place, ONNX Runtime's copy of it before it is reordered.
    loadingBytes: attention + Math.max(conversionBytes(config, form), 2 * Math.min(MOST_SESSION_BYTES, bytes.head)),
    workspaceBytes:
      F32_BYTES *
      (rows * expertsPerToken * 3 * (hiddenSize + intermediateSize) +
        rows * (4 * hiddenSize + queryAndKeyRows + attentionHeads * (rows + SMALLEST_CONTEXT)) +
        2 * maxSequences * vocabularySize),
    kvBytesPerToken: layers * keyValueHeads * headDim * 2 * F32_BYTES,
    smallestKvBytes: cache.bytes(Math.min(SMALLEST_CONTEXT, contextLength)),
  };
}

/** Bytes that a weight of an expert takes. */
function expertWeightBytes(config: GptOssConfig, form: ExpertForm | 'mxfp4'): number {
  if (form === 'f32') return F32_BYTES;
  if (form === 'mxfp4') return 0.5 + SCALE_BYTES;
  return blockBytes(form === 'blocks8' ? 8 : 4, divideExperts(config, form).usesTemplates);
}

/** Bytes of experts that exist beside what stays. */
function conversionBytes(config: GptOssConfig, form: ExpertForm | 'mxfp4'): number {
  if (form === 'mxfp4') return config.experts * config.hiddenSize * config.intermediateSize;
  const { sessionBytes, usesTemplates } = divideExperts(config, form);
  return Math.round(sessionBytes * (usesTemplates ? 1 : 2));
}

/**
 * Bytes that a weight takes in MatMulNBits. On x64 the reordered copy holds everything, and the scales that it was made from
 * stay beside it but in sessions from templates. Elsewhere kernels may read the scales where they were given, so that those
 * sessions keep their templates.
 */
function blockBytes(bits: 4 | 8, usesTemplates: boolean): number {
  const given = bits / 8 + SCALE_BYTES;
  if (IS_X64) return given + SCALE_BYTES + (usesTemplates ? 0 : SCALE_BYTES);
  return usesTemplates ? bits / 8 + given : given + 2 * SCALE_BYTES;
}
