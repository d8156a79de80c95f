import { readFileSync } from 'node:fs';

/** Linear memory of WebAssembly. Growing it detaches all views of its buffer. */
export interface KernelMemory {
  readonly buffer: ArrayBuffer;
  /** Adds pages of `PAGE_BYTES`. */
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

export const PAGE_BYTES = 65536;

/** The first page of the memory is the kernel's own: stack and constants. */
export const RESERVED_BYTES = PAGE_BYTES;

/**
 * Instantiates a kernel of the folder kernels/ on a memory of its own, `RESERVED_BYTES` long. Needs WebAssembly SIMD: every
 * supported Node has it.
 */
export function loadKernel(name: string): { readonly kernel: unknown; readonly memory: KernelMemory } {
  const binary = readFileSync(new URL(`../../../kernels/cpu/${name}.wasm`, import.meta.url));
  const memory = new WebAssembly.Memory({ initial: 1 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(binary), { env: { memory } });
  return { kernel: exports, memory };
}
