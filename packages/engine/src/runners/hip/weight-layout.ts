/**
 * Where a model's weights lie in device memory: as the checkpoint has them, matrices in bf16 and MXFP4, vectors in f32.
 */

import type { ExpertTensor, GptOssConfig, GptOssWeights, Tensor } from '@switchyard/models';
import { elementCount, tensorByteLength } from '@switchyard/models';
import type { WeightKind } from '../load-plan.ts';
import { UnsupportedWeightsError } from './errors.ts';

/** What is written to one place: tensors one behind the other, as they are or widened to f32. */
export interface WeightPart {
  readonly tensors: readonly Tensor[];
  readonly form: 'raw' | 'f32';
  /** Bytes on the device. */
  readonly bytes: number;
}

/** The parts of a layer, by name. */
export interface LayerParts {
  readonly inputNorm: WeightPart;
  readonly qkv: WeightPart;
  readonly qkvBias: WeightPart;
  readonly sinks: WeightPart;
  readonly attentionOutput: WeightPart;
  readonly attentionOutputBias: WeightPart;
  readonly expertNorm: WeightPart;
  readonly gate: WeightPart;
  readonly gateBias: WeightPart;
  readonly gateUpCodes: WeightPart;
  readonly gateUpScales: WeightPart;
  readonly gateUpBias: WeightPart;
  readonly downCodes: WeightPart;
  readonly downScales: WeightPart;
  readonly downBias: WeightPart;
}

/** The parts outside the layers. */
export interface OuterParts {
  readonly embedding: WeightPart;
  readonly finalNorm: WeightPart;
  readonly head: WeightPart;
}

/** All parts of a model. */
export interface ModelParts {
  readonly outer: OuterParts;
  readonly layers: readonly LayerParts[];
}

/**
 * The parts of a checkpoint.
 *
 * @throws UnsupportedWeightsError
 */
export function modelParts({ embedding, finalNorm, lmHead, layers }: GptOssWeights): ModelParts {
  return {
    outer: {
      embedding: matrix([embedding]),
      finalNorm: vectors([finalNorm]),
      head: matrix([lmHead]),
    },
    layers: layers.map((layer) => {
      const { query, key, value, output, router, gateUp, down } = layer;
      const [gateUpCodes, gateUpScales] = experts(gateUp.weight);
      const [downCodes, downScales] = experts(down.weight);
      return {
        inputNorm: vectors([layer.inputNorm]),
        qkv: matrix([query.weight, key.weight, value.weight]),
        qkvBias: vectors([query.bias, key.bias, value.bias]),
        sinks: vectors([layer.sinks]),
        attentionOutput: matrix([output.weight]),
        attentionOutputBias: vectors([output.bias]),
        expertNorm: vectors([layer.postAttentionNorm]),
        gate: matrix([router.weight]),
        gateBias: vectors([router.bias]),
        gateUpCodes,
        gateUpScales,
        gateUpBias: vectors([gateUp.bias]),
        downCodes,
        downScales,
        downBias: vectors([down.bias]),
      };
    }),
  };
}

/** Bytes on the device by what they are for, from the configuration alone. */
export function weightBytesOf(config: GptOssConfig): Readonly<Record<WeightKind, number>> {
  const { hiddenSize, intermediateSize, experts, layers, attentionHeads, keyValueHeads, headDim, vocabularySize } =
    config;
  const qkvRows = (attentionHeads + 2 * keyValueHeads) * headDim;
  const attendedWidth = attentionHeads * headDim;
  const expertWeights = 3 * hiddenSize * intermediateSize;
  return {
    embedding: 2 * vocabularySize * hiddenSize,
    attention: layers * (2 * hiddenSize * (qkvRows + attendedWidth) + 4 * (qkvRows + attentionHeads + hiddenSize)),
    router: layers * experts * (2 * hiddenSize + 4),
    experts: layers * experts * ((expertWeights * 17) / 32 + 4 * (2 * intermediateSize + hiddenSize)),
    norms: 4 * hiddenSize * (2 * layers + 1),
    head: 2 * vocabularySize * hiddenSize,
  };
}

function matrix(tensors: readonly Tensor[]): WeightPart {
  for (const { name, dtype } of tensors) {
    if (dtype !== 'BF16') throw new UnsupportedWeightsError(`${name} in ${dtype}`, 'matrices in BF16');
  }
  return raw(tensors);
}

function raw(tensors: readonly Tensor[]): WeightPart {
  return { tensors, form: 'raw', bytes: sum(tensors, tensorByteLength) };
}

function vectors(tensors: readonly Tensor[]): WeightPart {
  return { tensors, form: 'f32', bytes: 4 * sum(tensors, elementCount) };
}

function experts(weight: ExpertTensor): readonly [codes: WeightPart, scales: WeightPart] {
  if (weight.kind !== 'mxfp4')
    throw new UnsupportedWeightsError(`experts in ${weight.tensor.dtype}`, 'experts in MXFP4');
  return [raw([weight.blocks]), raw([weight.scales])];
}

function sum(tensors: readonly Tensor[], of: (tensor: Tensor) => number): number {
  return tensors.reduce((total, tensor) => total + of(tensor), 0);
}
