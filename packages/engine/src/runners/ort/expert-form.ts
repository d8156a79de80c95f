import type { GptOssConfig } from '@switchyard/models';
import type { ExpertPrecision } from '../runner-module.ts';

/**
 * Expert weights in the forms that ONNX Runtime's CPU kernels take.
 *
 * - `f32`: MatMul on [columns, rows], for checkpoints whose experts are floats. Exact, four bytes a weight.
 * - `blocks8`: MatMulNBits with 8-bit blocks of 32. An MXFP4 value is a small whole number of half units times a power
 *   of two, so this holds it exactly.
 * - `blocks4`: MatMulNBits with 4-bit blocks of 32. The fifteen MXFP4 values do not lie on a line of sixteen steps, so
 *   this rounds: about 7 % of a weight's size.
 */
export type ExpertForm = 'f32' | 'blocks8' | 'blocks4';

/**
 * Up to this size as MXFP4, experts are computed on as they are by our own kernel, on one thread. It does not wait for
 * memory or for other threads, which is fastest while experts are small; large ones are faster on all threads.
 */
const LARGEST_MXFP4_EXPERT_BYTES = 2 ** 17;
/** All of them lie in one WebAssembly memory, which ends at 4 GiB. */
const LARGEST_MXFP4_BYTES = 2 ** 31;

/** The form of the expert weights for a precision. Experts that are floats have no exact blocks and become f32. */
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

/** Dense weights: f32, or 8-bit blocks of 32 with activations rounded to int8. */
export type DenseForm = 'f32' | 'blocks8';

/** Up to this size as f32, attention and LM head stay exact even where experts are rounded to 4 bits. */
const LARGEST_EXACT_DENSE_BYTES = 2 ** 30;

/**
 * The form of the attention projections and the LM head. They are exact, but for `int4` on a large model: there they are
 * 8-bit blocks, as GGUF files of 4-bit models have them (Q8_0), in less than a third of the memory.
 */
export function chooseDenseForm(config: GptOssConfig, precision: ExpertPrecision): DenseForm {
  const { hiddenSize, attentionHeads, keyValueHeads, headDim, layers, vocabularySize } = config;
  const queryWidth = attentionHeads * headDim;
  const projections = layers * hiddenSize * 2 * (queryWidth + keyValueHeads * headDim);
  const isLarge = 4 * (projections + vocabularySize * hiddenSize) > LARGEST_EXACT_DENSE_BYTES;
  const hasWholeBlocks = hiddenSize % 32 === 0 && queryWidth % 32 === 0;
  return precision === 'int4' && config.expertFormat === 'mxfp4' && isLarge && hasWholeBlocks ? 'blocks8' : 'f32';
}
