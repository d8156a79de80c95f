import type { GptOssConfig, Snapshot } from '@switchyard/models';
import { attentionGraph } from './attention-graph.ts';
import type { ExpertBlock } from './expert-block.ts';
import type { ExpertForm } from './expert-weights.ts';
import { GraphSession } from './graph-session.ts';
import type { SessionOptions } from './graph-session.ts';
import { headGraph } from './head-graph.ts';
import { Mxfp4ExpertBlock } from './mxfp4-expert-block.ts';
import { SessionExperts } from './session-experts.ts';

/** How expert weights are held: the checkpoint's values exactly, or rounded to 4-bit integers. */
export type ExpertPrecision = 'exact' | 'int4';

/** A model's computation in the order of a step: attention and experts of each layer, then the head. */
export interface OrtModel {
  /** One a layer: from the sum of the layer before to the router logits. */
  readonly attention: readonly GraphSession[];
  readonly experts: ExpertBlock;
  readonly head: GraphSession;
  /** Bytes of all weights held. */
  readonly weightBytes: number;
  release(): Promise<void>;
}

/**
 * Up to this size as MXFP4, experts are computed on as they are by our own kernel, on one thread. It does not wait for
 * memory or for other threads, which is fastest while experts are small; large ones are faster on all threads.
 */
const LARGEST_MXFP4_EXPERT_BYTES = 2 ** 17;
/** All of them lie in one WebAssembly memory, which ends at 4 GiB. */
const LARGEST_MXFP4_BYTES = 2 ** 31;

/** The form of the expert weights for a precision. bf16 experts have no exact blocks and become f32. */
export function chooseExpertForm(config: GptOssConfig, precision: ExpertPrecision): ExpertForm | 'mxfp4' {
  if (config.expertFormat === 'bf16') {
    return 'f32';
  }
  if (precision === 'int4') {
    return 'blocks4';
  }
  const expertBytes = (3 * config.hiddenSize * config.intermediateSize) / 2;
  const allBytes = expertBytes * config.experts * config.layers;
  return expertBytes <= LARGEST_MXFP4_EXPERT_BYTES && allBytes <= LARGEST_MXFP4_BYTES ? 'mxfp4' : 'blocks8';
}

/** Loads a model, one layer at a time, so that only one layer's converted weights exist beside what is kept. */
export async function loadModel(
  { config, weights }: Snapshot,
  form: ExpertForm | 'mxfp4',
  options: SessionOptions,
  onProgress: (loaded: number, total: number) => void,
): Promise<OrtModel> {
  const attention: GraphSession[] = [];
  const started: { release(): Promise<void> }[] = [];
  const release = async (): Promise<void> => {
    await Promise.all(started.map((part) => part.release()));
  };
  const keep = <Part extends { release(): Promise<void> }>(part: Part): Part => {
    started.push(part);
    return part;
  };
  const total = weights.layers.length + 1;
  try {
    const experts = keep(
      form === 'mxfp4' ? await Mxfp4ExpertBlock.create(config, options) : new SessionExperts(config, form),
    );
    for (const [index, layer] of weights.layers.entries()) {
      attention.push(keep(await GraphSession.create(attentionGraph(config, layer, index), options)));
      if (experts instanceof SessionExperts) {
        await experts.addLayer(layer, options);
      } else {
        experts.addLayer(layer);
      }
      onProgress(index + 1, total);
    }
    const head = keep(await GraphSession.create(headGraph(config, weights), options));
    onProgress(total, total);
    return { attention, experts, head, weightBytes: denseBytes(config) + experts.weightBytes, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Bytes of what is not an expert, held as f32. */
function denseBytes(config: GptOssConfig): number {
  const { hiddenSize, headDim, attentionHeads, keyValueHeads, experts, layers, vocabularySize } = config;
  const heads = attentionHeads + keyValueHeads;
  return 4 * (layers * hiddenSize * (2 * heads * headDim + experts) + vocabularySize * hiddenSize);
}
