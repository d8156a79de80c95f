/** Tensors as they lie in a checkpoint: names, shapes, dtypes and bytes, with nothing decoded. */

/** The dtypes of the safetensors format that Switchyard reads. */
export type TensorDtype =
  | 'F4'
  | 'F6_E2M3'
  | 'F6_E3M2'
  | 'BOOL'
  | 'U8'
  | 'I8'
  | 'F8_E5M2'
  | 'F8_E5M2FNUZ'
  | 'F8_E4M3'
  | 'F8_E4M3FNUZ'
  | 'F8_E8M0'
  | 'U16'
  | 'I16'
  | 'F16'
  | 'BF16'
  | 'U32'
  | 'I32'
  | 'F32'
  | 'U64'
  | 'I64'
  | 'F64'
  | 'C64';

/** Bits of one element. The elements of a tensor make whole bytes together. */
export const DTYPE_BITS: Readonly<Record<TensorDtype, number>> = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E5M2FNUZ: 8,
  F8_E4M3: 8,
  F8_E4M3FNUZ: 8,
  F8_E8M0: 8,
  U16: 16,
  I16: 16,
  F16: 16,
  BF16: 16,
  U32: 32,
  I32: 32,
  F32: 32,
  U64: 64,
  I64: 64,
  F64: 64,
  C64: 64,
};

/** A tensor of a checkpoint. */
export interface Tensor {
  readonly name: string;
  readonly dtype: TensorDtype;
  /** Row-major dimensions, each >= 0. */
  readonly shape: readonly number[];
  /** The raw little-endian bytes, mapped from the file: read-only, valid until the checkpoint is disposed. */
  readonly bytes: Uint8Array;
  /**
   * Reads bytes `begin` to `end` (exclusive, within the tensor) from the file into `target`, by default a buffer of their
   * own; absent where the tensor lies in no file. Call it through `readTensorBytes`.
   */
  readonly read?: (begin: number, end: number, target?: Uint8Array) => Uint8Array;
  /**
   * Reads as many bytes as `target` has, from byte `begin` on, while the calling thread goes on; settles when nothing is
   * written to `target` any more. Absent where `read` is. Call it through `readTensorBytesAsync`.
   */
  readonly readAsync?: (begin: number, target: Uint8Array) => Promise<void>;
}

/** MXFP4 (OCP Microscaling v1.0): rows of 32-element blocks, two 4-bit codes a byte (low nibble first), one E8M0 scale a block. */
export interface Mxfp4Tensor {
  readonly kind: 'mxfp4';
  /** The shape of the decoded tensor: [experts, rows, columns], columns a multiple of 32. */
  readonly shape: readonly [experts: number, rows: number, columns: number];
  /** U8 [experts, rows, columns / 32, 16], also where the file has F4 [experts, rows, columns / 32, 32]. */
  readonly blocks: Tensor;
  /** U8 [experts, rows, columns / 32], also where the file has F8_E8M0; the exponent is the byte - 127. */
  readonly scales: Tensor;
}

/** Expert weights that are not quantised: [experts, rows, columns], row-major as in `x @ W.T`. */
export interface Bf16ExpertTensor {
  readonly kind: 'bf16';
  readonly shape: readonly [experts: number, rows: number, columns: number];
  /** BF16, or F16 or F32 where the checkpoint has them so: `readFloats` reads all three. */
  readonly tensor: Tensor;
  /** Whether the file stores [experts, columns, rows] (Hugging Face's bf16 layout) instead. */
  readonly transposed: boolean;
}

export type ExpertTensor = Mxfp4Tensor | Bf16ExpertTensor;
