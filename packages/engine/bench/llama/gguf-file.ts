/** Writing GGUF files (ggml-org/ggml, docs/gguf.md), version 3. */

import { closeSync, openSync, writeSync } from 'node:fs';

/** Types of tensors: ggml's number, elements that a block has, and its bytes. */
const TENSOR_TYPES = {
  f32: { number: 0, elements: 1, bytes: 4 },
  bf16: { number: 30, elements: 1, bytes: 2 },
  mxfp4: { number: 39, elements: 32, bytes: 17 },
} as const;

export type GgufTensorType = keyof typeof TENSOR_TYPES;

/** A value of the file's description. Numbers are u32, or f32 where they are said to be. */
export type GgufValue =
  | string
  | number
  | { readonly f32: number }
  | { readonly strings: readonly string[] }
  | { readonly i32: Int32Array };

/** A tensor: its rows have `dimensions[0]` elements, the slowest dimension comes last. */
export interface GgufTensor {
  readonly name: string;
  readonly type: GgufTensorType;
  readonly dimensions: readonly number[];
  /** Its bytes, in pieces that are asked for one after the other. */
  readonly pieces: () => Iterable<Uint8Array>;
}

const VERSION = 3;
/** Tensors, and the data as a whole, begin at multiples of so many bytes. */
const ALIGNMENT = 32;

/**
 * Writes a file.
 *
 * @throws RangeError where a tensor's pieces are not of its size
 */
export function writeGguf(path: string, values: ReadonlyMap<string, GgufValue>, tensors: readonly GgufTensor[]): void {
  const file = openSync(path, 'w');
  try {
    const head = Buffer.concat([
      Buffer.from('GGUF'),
      u32(VERSION),
      u64(tensors.length),
      u64(values.size),
      ...[...values].flatMap(([name, value]) => [text(name), valueOf(value)]),
      ...directoryOf(tensors),
    ]);
    writeAll(file, head);
    writeAll(file, padding(head.length));
    for (const tensor of tensors) writeTensor(file, tensor);
  } finally {
    closeSync(file);
  }
}

function sizeOf({ type, dimensions }: GgufTensor): number {
  const { elements, bytes } = TENSOR_TYPES[type];
  return (dimensions.reduce((product, size) => product * size, 1) / elements) * bytes;
}

function directoryOf(tensors: readonly GgufTensor[]): Buffer[] {
  let offset = 0;
  return tensors.map((tensor) => {
    const { name, type, dimensions } = tensor;
    const entry = [text(name), u32(dimensions.length), ...dimensions.map(u64)];
    const at = offset;
    offset = aligned(offset + sizeOf(tensor));
    return Buffer.concat([...entry, u32(TENSOR_TYPES[type].number), u64(at)]);
  });
}

function writeTensor(file: number, tensor: GgufTensor): void {
  let written = 0;
  for (const piece of tensor.pieces()) {
    writeAll(file, piece);
    written += piece.length;
  }
  if (written !== sizeOf(tensor)) {
    throw new RangeError(`${tensor.name} · found ${written} bytes · it has ${sizeOf(tensor)}`);
  }
  writeAll(file, padding(written));
}

/** A system writes at most about 2 GiB at once. */
function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function padding(bytes: number): Buffer {
  return Buffer.alloc(aligned(bytes) - bytes);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([u64(bytes.length), bytes]);
}

/** A value after its type's number. */
function valueOf(value: GgufValue): Buffer {
  if (typeof value === 'string') return Buffer.concat([u32(8), text(value)]);
  if (typeof value === 'number') return Buffer.concat([u32(4), u32(value)]);
  if ('f32' in value) {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value.f32);
    return Buffer.concat([u32(6), bytes]);
  }
  if ('strings' in value) {
    return Buffer.concat([u32(9), u32(8), u64(value.strings.length), ...value.strings.map(text)]);
  }
  const { buffer, byteOffset, byteLength } = value.i32;
  return Buffer.concat([u32(9), u32(5), u64(value.i32.length), Buffer.from(buffer, byteOffset, byteLength)]);
}
