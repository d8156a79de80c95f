import { tensorByteLength } from '@switchyard/models';
import type { GptOssConfig, GptOssLayerWeights, Snapshot, Tensor } from '@switchyard/models';
import type { LoadingStep } from '../load-plan.ts';
import { attentionGraph } from './attention-graph.ts';
import type { ExpertBlock } from './expert-block.ts';
import { MOST_SESSION_BYTES, divideExperts } from './expert-division.ts';
import type { DenseForm, ExpertForm } from './expert-form.ts';
import { GraphSession } from './graph-session.ts';
import type { SessionOptions } from './graph-session.ts';
import { expertTensors } from './expert-weights.ts';
import { headParts } from './head-graph.ts';
import { Head } from './head.ts';
import { Mxfp4ExpertBlock } from './mxfp4/mxfp4-expert-block.ts';
import { SessionExperts } from './session-experts.ts';
import { WeightReader } from './weight-reader.ts';

/** A model's computation in the order of a step: attention and experts of each layer, then the head. */
export interface OrtModel {
  /** One a layer: from the sum of the layer before to the router logits. */
  readonly attention: readonly GraphSession[];
  readonly experts: ExpertBlock;
  readonly head: Head;
  release(): Promise<void>;
}

/** The forms that a model's weights are to have. */
export interface WeightForms {
  readonly experts: ExpertForm | 'mxfp4';
  readonly dense: DenseForm;
}

/** How many sessions a model has. */
export function countSessions(config: GptOssConfig, { experts, dense }: WeightForms): number {
  const ofExperts = experts === 'mxfp4' ? 1 : 1 + config.layers * divideExperts(config, experts).ranges.length;
  return config.layers + ofExperts + headParts(config, dense, MOST_SESSION_BYTES).length;
}

/**
 * Loads a model part by part, so that only one part's converted weights exist beside what is kept. The head comes first: it
 * is the largest part, and what cannot be loaded is best known early.
 *
 * @param onProgress called after every piece, some milliseconds of work. What it throws ends the load.
 */
export async function loadModel(
  { config, weights }: Snapshot,
  forms: WeightForms,
  sessionOptions: SessionOptions,
  onProgress: (step: LoadingStep) => void,
): Promise<OrtModel> {
  const totalBytes = bytesToRead(weights);
  let what = 'head';
  const reader: WeightReader = new WeightReader(() => {
    const { doneBytes, readMs, convertMs, sessionMs } = reader;
    onProgress({ what, doneBytes: Math.min(doneBytes, totalBytes), totalBytes, readMs, convertMs, sessionMs });
  });
  const options = { ...sessionOptions, reader };
  const started: { release(): Promise<void> }[] = [];
  const release = async (): Promise<void> => {
    await Promise.all(started.map((part) => part.release()));
  };
  const keep = <Part extends { release(): Promise<void> }>(part: Part): Part => {
    started.push(part);
    return part;
  };
  try {
    reader.piece();
    const head = keep(new Head(config));
    await head.load(weights, forms.dense, options);
    // Layers are of another size.
    reader.release();
    const attention: GraphSession[] = [];
    const experts = keep(
      forms.experts === 'mxfp4'
        ? await Mxfp4ExpertBlock.create(config, options)
        : new SessionExperts(config, forms.experts),
    );
    for (const [index, layer] of weights.layers.entries()) {
      what = `layer ${index + 1} of ${weights.layers.length}`;
      attention.push(keep(await GraphSession.create(attentionGraph(config, layer, index, forms.dense), options)));
      await experts.addLayer(layer, options);
    }
    experts.endLoading();
    reader.release();
    reader.doneBytes = totalBytes;
    reader.piece();
    return { attention, experts, head, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Bytes of the tensors that are read while a model loads: all but the embedding, unless the head is the same. */
function bytesToRead({ layers, finalNorm, lmHead }: Snapshot['weights']): number {
  const sum = (tensors: readonly Tensor[]): number =>
    tensors.reduce((total, tensor) => total + tensorByteLength(tensor), 0);
  return layers.reduce((total, layer) => total + sum(tensorsOf(layer)), sum([finalNorm, lmHead]));
}

function tensorsOf(layer: GptOssLayerWeights): Tensor[] {
  const linear = [layer.query, layer.key, layer.value, layer.output, layer.router];
  return [
    layer.inputNorm,
    layer.postAttentionNorm,
    layer.sinks,
    ...linear.flatMap(({ weight, bias }) => [weight, bias]),
    ...expertTensors(layer),
  ];
}
