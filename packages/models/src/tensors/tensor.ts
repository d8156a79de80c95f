/** Tensors as they lie in a checkpoint: names, shapes, dtypes and bytes, with nothing decoded. */

/** The dtypes of the safetensors format that Switchyard reads. */
export type TensorDtype =
  | 'BOOL'
  | 'U8'
  | 'I8'
  | 'F8_E5M2'
  | 'F8_E4M3'
  | 'U16'
  | 'I16'
  | 'F16'
  | 'BF16'
  | 'U32'
  | 'I32'
  | 'F32'
  | 'U64'
  | 'I64'
  | 'F64';

/** Bytes of one element. */
export const DTYPE_BYTES: Readonly<Record<TensorDtype, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
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
}

/** MXFP4 (OCP Microscaling v1.0): rows of 32-element blocks, two 4-bit codes a byte (low nibble first), one E8M0 scale a block. */
export interface Mxfp4Tensor {
  readonly kind: 'mxfp4';
  /** The shape of the decoded tensor: [experts, rows, columns], columns a multiple of 32. */
  readonly shape: readonly [experts: number, rows: number, columns: number];
  /** U8 [experts, rows, columns / 32, 16]. */
  readonly blocks: Tensor;
  /** U8 [experts, rows, columns / 32]; the exponent is the byte - 127. */
  readonly scales: Tensor;
}

/** Expert weights kept in bf16: [experts, rows, columns], row-major as in `x @ W.T`. */
export interface Bf16ExpertTensor {
  readonly kind: 'bf16';
  readonly shape: readonly [experts: number, rows: number, columns: number];
  readonly tensor: Tensor;
  /** Whether the file stores [experts, columns, rows] (Hugging Face's bf16 layout) instead. */
  readonly transposed: boolean;
}

export type ExpertTensor = Mxfp4Tensor | Bf16ExpertTensor;
