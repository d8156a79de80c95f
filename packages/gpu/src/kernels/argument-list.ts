/** The arguments of kernels as data: a launch packs its argument buffer from such a list, in its order. */

/** How an argument is stored: pointers and i64 take 8 bytes at an offset that 8 divides, the others 4. */
export type KernelArgumentType = 'pointer' | 'u32' | 'i64' | 'f32';

/** One kernel argument. */
export interface KernelArgument {
  readonly name: string;
  readonly type: KernelArgumentType;
  readonly doc: string;
}

/** An argument's place in the packed argument buffer. */
export interface PlacedKernelArgument extends KernelArgument {
  /** Bytes from the start of the buffer. */
  readonly offset: number;
  /** 4 or 8. */
  readonly size: number;
}

/** Where each argument lies in the packed buffer, and the buffer's size in bytes, both as C lays out a struct. */
export function placeKernelArguments(kernelArguments: readonly KernelArgument[]): {
  readonly placed: readonly PlacedKernelArgument[];
  readonly bytes: number;
} {
  let end = 0;
  const placed = kernelArguments.map((argument) => {
    const size = argument.type === 'pointer' || argument.type === 'i64' ? 8 : 4;
    const offset = Math.ceil(end / size) * size;
    end = offset + size;
    return { ...argument, offset, size };
  });
  return { placed, bytes: end };
}
