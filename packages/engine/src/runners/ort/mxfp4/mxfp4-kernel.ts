import { loadKernel } from '../wasm-kernel.ts';
import type { KernelMemory } from '../wasm-kernel.ts';

export type { KernelMemory };

/**
 * The functions of kernels/cpu/mxfp4_experts.c. Pointers are byte offsets into the memory: `indices`, `positions` and
 * `weights` multiples of 4, all others of 16.
 */
export interface Mxfp4Kernel {
  /**
   * f32 [rows, outputs] from MXFP4 weights [outputs, blocks * 32] in tiles (`TILE`) and 1 to 4 of the quantized rows at
   * `input`, which i32 [rows] `indices` names.
   */
  linear(
    codes: number,
    scales: number,
    bias: number,
    input: number,
    steps: number,
    indices: number,
    output: number,
    outputs: number,
    blocks: number,
    rows: number,
  ): void;
  /** Rows of activations f32 [blocks * 32] on end as `linear` takes them: `ACTIVATION_BYTES` a block, and f32 steps. */
  quantize(input: number, output: number, steps: number, blocks: number): void;
  /** The clamped SwiGLU of rows on end, interleaved gate and up [2 * columns] to [columns]. */
  swiglu(input: number, output: number, columns: number, limit: number): void;
  /** For each token adds `terms` rows of `values`, each times its weight. */
  combine(
    values: number,
    positions: number,
    weights: number,
    output: number,
    tokens: number,
    terms: number,
    columns: number,
  ): void;
  /** MXFP4 weights as f32 [outputs, blocks * 32]; with `halves` = 1 the rows of even index come first. */
  unpack(codes: number, scales: number, output: number, outputs: number, blocks: number, halves: number): void;
}

/**
 * Outputs of a tile. Codes lie as u8 [outputs / 8, blocks, 2, 4, 4, 4]: of each tile and block, outputs 0 to 3 and then 4
 * to 7; of those, four times 8 columns; of those, the four outputs' 4 bytes. Scales lie as f32 [outputs / 8, blocks, 8].
 */
export const TILE = 8;

/** Bytes of a quantized block of activations. */
export const ACTIVATION_BYTES = 128;

/** The most rows that one call of `linear` takes. */
export const MOST_ROWS = 4;

/** The first page of the memory is the kernel's own stack. */
export { RESERVED_BYTES } from '../wasm-kernel.ts';

/** Instantiates the kernel on a memory of its own, `RESERVED_BYTES` long. */
export function loadMxfp4Kernel(): { readonly kernel: Mxfp4Kernel; readonly memory: KernelMemory } {
  const { kernel, memory } = loadKernel('mxfp4_experts');
  return { kernel: kernel as Mxfp4Kernel, memory };
}
