import { readFileSync } from 'node:fs';

/** Linear memory of WebAssembly. Growing it detaches all views of its buffer. */
export interface KernelMemory {
  readonly buffer: ArrayBuffer;
  /** Adds pages of 65536 bytes. */
  grow(pages: number): number;
}

/** What is used of WebAssembly's JavaScript interface, which TypeScript declares only together with the DOM. */
declare const WebAssembly: {
  readonly Memory: new (descriptor: { readonly initial: number }) => KernelMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { readonly env: { readonly memory: KernelMemory } },
  ) => { readonly exports: unknown };
};

/** The functions of kernels/mxfp4_experts.c. Pointers are byte offsets into the memory, multiples of 16. */
export interface Mxfp4Kernel {
  /** f32 [rows, outputs] from MXFP4 weights [outputs, blocks * 32] and 1 to 4 quantized rows. */
  linear(
    codes: number,
    scales: number,
    bias: number,
    input: number,
    steps: number,
    output: number,
    outputs: number,
    blocks: number,
    rows: number,
  ): void;
  /** One row of activations f32 [blocks * 32] as `linear` takes it: `ACTIVATION_BYTES` a block, and f32 steps. */
  quantize(input: number, output: number, steps: number, blocks: number): void;
  /** The clamped SwiGLU of one row, interleaved gate and up [2 * columns] to [columns]. */
  swiglu(input: number, output: number, columns: number, limit: number): void;
  /** Adds `terms` rows of `values`, each times its weight. */
  combine(values: number, positions: number, weights: number, output: number, terms: number, columns: number): void;
  /** MXFP4 weights as f32 [outputs, blocks * 32]; with `halves` = 1 the rows of even index come first. */
  unpack(codes: number, scales: number, output: number, outputs: number, blocks: number, halves: number): void;
}

/** Bytes of a quantized block of activations. */
export const ACTIVATION_BYTES = 128;

/** The most rows that one call of `linear` takes. */
export const MOST_ROWS = 4;

/** The first page of the memory is the kernel's own stack. */
export const RESERVED_BYTES = 65536;

const BINARY = new URL('../../kernels/mxfp4_experts.wasm', import.meta.url);

/** Instantiates the kernel on a memory of its own, `RESERVED_BYTES` long. Needs WebAssembly SIMD: every supported Node has it. */
export function loadMxfp4Kernel(): { readonly kernel: Mxfp4Kernel; readonly memory: KernelMemory } {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(BINARY)), { env: { memory } });
  return { kernel: exports as Mxfp4Kernel, memory };
}
