import type { GptOssConfig, GptOssWeights, Snapshot } from '@switchyard/models';
import type { StepClock } from '../../moe-layer.ts';
import type { ExpertForm } from './expert-weights.ts';
import { GraphSession } from './graph-session.ts';
import type { GraphBuilder } from './graph.ts';
import { betweenRoutersGraph, firstGraph, lastGraph } from './layer-graph.ts';

/** How expert weights are held: the checkpoint's values exactly, or rounded to 4-bit integers. */
export type ExpertPrecision = 'exact' | 'int4';

/**
 * Up to this size in f32, experts are held as f32 and multiplied by the plain MatMul, which is fastest while the
 * experts of a step fit the processor's cache. Above it a quarter of the memory, as 8-bit blocks, counts for more.
 */
const LARGEST_F32_EXPERT_BYTES = 2 ** 28;

/** The form of the expert weights for a precision. bf16 experts have no exact blocks and stay f32. */
export function expertForm(config: GptOssConfig, precision: ExpertPrecision): ExpertForm {
  if (config.expertFormat === 'bf16') {
    return 'f32';
  }
  if (precision === 'int4') {
    return 'blocks4';
  }
  return f32ExpertBytes(config) <= LARGEST_F32_EXPERT_BYTES ? 'f32' : 'blocks8';
}

/** Loads every graph, one at a time, so that only one layer's converted weights exist beside the sessions. */
export async function loadSessions(
  snapshot: Snapshot,
  form: ExpertForm,
  threads: number | undefined,
  clock: StepClock,
  onProgress: (loaded: number, total: number) => void,
): Promise<GraphSession[]> {
  const { config, weights } = snapshot;
  const sessions: GraphSession[] = [];
  try {
    for (let index = 0; index <= config.layers; index++) {
      sessions.push(await GraphSession.create(graphAt(index, config, weights, form), threads, clock));
      onProgress(index + 1, config.layers + 1);
    }
  } catch (error) {
    await Promise.all(sessions.map((session) => session.release()));
    throw error;
  }
  return sessions;
}

/** Bytes that the sessions hold for weights. */
export function weightBytes(config: GptOssConfig, form: ExpertForm): number {
  const { hiddenSize, headDim, attentionHeads, keyValueHeads, experts, layers, vocabularySize } = config;
  const heads = attentionHeads + keyValueHeads;
  const dense = layers * hiddenSize * (2 * heads * headDim + experts) + vocabularySize * hiddenSize;
  const perWeight = { f32: 4, blocks8: 1 + 4 / 32, blocks4: 0.5 + 4 / 32 }[form];
  return Math.round(dense * 4 + (f32ExpertBytes(config) / 4) * perWeight);
}

function f32ExpertBytes({ layers, experts, hiddenSize, intermediateSize }: GptOssConfig): number {
  return layers * experts * 3 * hiddenSize * intermediateSize * 4;
}

function graphAt(index: number, config: GptOssConfig, weights: GptOssWeights, form: ExpertForm): GraphBuilder {
  const layer = weights.layers[index];
  const previous = weights.layers[index - 1];
  if (previous === undefined) {
    if (layer === undefined) {
      throw new RangeError(
        'The model has no layers · found an empty list of layer weights · give a complete checkpoint',
      );
    }
    return firstGraph(config, layer, index);
  }
  if (layer === undefined) {
    return lastGraph(config, previous, weights.finalNorm, weights.lmHead, form);
  }
  return betweenRoutersGraph(config, previous, layer, index, form);
}
