import type { GptOssConfig } from '@switchyard/models';
import type { ExpertPrecision } from '../../runner-module.ts';

export type { ExpertPrecision };

/**
 * Expert weights in the forms that ONNX Runtime's CPU kernels take.
 *
 * - `f32`: MatMul on [columns, rows], for checkpoints with bf16 experts. Exact, four bytes a weight.
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
