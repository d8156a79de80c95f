import type { GptOssConfig, Snapshot } from '@switchyard/models';
import type { LoadingStep } from '../load-plan.ts';
import { attentionGraph } from './attention-graph.ts';
import type { ExpertBlock } from './expert-block.ts';
import type { ExpertForm } from './expert-form.ts';
import { GraphSession } from './graph-session.ts';
import type { SessionOptions } from './graph-session.ts';
import { headGraph } from './head-graph.ts';
import { Mxfp4ExpertBlock } from './mxfp4-expert-block.ts';
import { SessionExperts } from './session-experts.ts';

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

/** Loads a model, one layer at a time, so that only one layer's converted weights exist beside what is kept. */
export async function loadModel(
  { config, weights }: Snapshot,
  form: ExpertForm | 'mxfp4',
  options: SessionOptions,
  onProgress: (step: LoadingStep) => void,
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
  const totalBytes = weights.layers.length + 1;
  const tell = (what: string, doneBytes: number): void =>
    onProgress({ what, doneBytes, totalBytes, readMs: 0, convertMs: 0, sessionMs: 0 });
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
      tell(`layer ${index + 1} of ${weights.layers.length}`, index + 1);
    }
    const head = keep(await GraphSession.create(headGraph(config, weights), options));
    tell('head', totalBytes);
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
