/** A checkpoint's weights as f64, read where they lie and only as far as they are needed. */

import { MXFP4_BLOCK, MXFP4_BLOCK_BYTES, decodeMxfp4, readFloats, readTensorBytes } from '@switchyard/models';
import type { ExpertTensor, Tensor } from '@switchyard/models';

/** `count` values of a bf16, f16 or f32 tensor from element `first` on; default all. */
export function readValues(tensor: Tensor, first?: number, count?: number): Float64Array {
  return new Float64Array(readFloats(tensor, first, count));
}

/** One expert's matrix, f64 [rows, columns], whatever the checkpoint's form. */
export function readExpert(weight: ExpertTensor, expert: number): Float64Array {
  const [, rows, columns] = weight.shape;
  const size = rows * columns;
  if (weight.kind === 'mxfp4') {
    const blocks = size / MXFP4_BLOCK;
    const codes = readTensorBytes(
      weight.blocks,
      expert * blocks * MXFP4_BLOCK_BYTES,
      (expert + 1) * blocks * MXFP4_BLOCK_BYTES,
    );
    const scales = readTensorBytes(weight.scales, expert * blocks, (expert + 1) * blocks);
    return new Float64Array(decodeMxfp4(codes, scales));
  }
  const stored = readValues(weight.tensor, expert * size, size);
  if (!weight.transposed) return stored;
  return stored.map((_, index) => stored[(index % columns) * rows + Math.floor(index / columns)] as number);
}
