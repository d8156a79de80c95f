import { decodeFloats, elementCount, tensorByteLength } from '@switchyard/models';
import type { Tensor } from '@switchyard/models';
import type { Constant } from './graph.ts';
import type { Weight } from './weight.ts';
import type { WeightReader } from './weight-reader.ts';

/** Checkpoint tensors that are not experts: bf16, f16 or f32, each for itself, as f32 or as 8-bit blocks. */

/** Weights that share a scale in 8-bit blocks. */
export const DENSE_BLOCK = 32;
/** Values that are read and converted at once: some milliseconds of work. */
const PIECE = 2 ** 20;

/** A vector, or any tensor in its own shape, as f32. */
export function denseWeight(name: string, tensor: Tensor): Weight {
  return rowsWeight(name, [tensor], tensor.shape);
}

/** Vectors joined end to end, as f32. */
export function joinedWeight(name: string, tensors: readonly Tensor[]): Weight {
  return rowsWeight(name, tensors, [tensors.reduce((sum, tensor) => sum + elementCount(tensor), 0)]);
}

/** Linear weights [out, in], one below the other, as f32 [sum of out, in]. */
export function matrixWeight(name: string, tensors: readonly Tensor[]): Weight {
  const rows = tensors.reduce((sum, tensor) => sum + (tensor.shape[0] ?? 0), 0);
  return rowsWeight(name, tensors, [rows, tensors[0]?.shape[1] ?? 0]);
}

/**
 * Linear weights [out, in], one below the other, as MatMulNBits takes them with 8 bits: codes u8 [sum of out, blocks, 32]
 * and f32 scales. The largest magnitude of a block is 127 steps, so a weight is off by 1/254 of that at most.
 */
export function blocks8Weight(name: string, tensors: readonly Tensor[]): Weight {
  const columns = tensors[0]?.shape[1] ?? 0;
  const blocks = columns / DENSE_BLOCK;
  const rows = tensors.reduce((sum, tensor) => sum + (tensor.shape[0] ?? 0), 0);
  return {
    constants: [
      { name, type: 'uint8', shape: [rows, blocks, DENSE_BLOCK] },
      { name: `${name}Scales`, type: 'float32', shape: [rows * blocks] },
    ],
    write([codes, scales], reader) {
      let done = 0;
      for (const tensor of tensors) {
        const end = elementCount(tensor) / DENSE_BLOCK;
        for (let first = 0; first < end; first += reader.kernel.mostFloatBlocks) {
          const count = Math.min(reader.kernel.mostFloatBlocks, end - first);
          const converted = reader.kernel.floats(reader, tensor, first, count);
          codes?.set(converted.codes, done * DENSE_BLOCK);
          f32View(scales as Uint8Array).set(converted.scales, done);
          done += count;
          reader.piece();
        }
      }
    },
  };
}

/** An f32 constant over values that must not change any more. */
export function f32Constant(values: Float32Array, shape: readonly number[]): Constant {
  return { type: 'float32', shape, bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

/** The f32 values that a constant's bytes are. */
export function f32View(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

function rowsWeight(name: string, tensors: readonly Tensor[], shape: readonly number[]): Weight {
  return {
    constants: [{ name, type: 'float32', shape }],
    write([target], reader) {
      const values = f32View(target as Uint8Array);
      let done = 0;
      for (const tensor of tensors) {
        const end = elementCount(tensor);
        for (let first = 0; first < end; first += PIECE) {
          const count = Math.min(PIECE, end - first);
          const bytes = readPart(reader, tensor, first, count);
          decodeFloats(bytes, tensor.dtype, values.subarray(done, done + count));
          done += count;
          reader.piece();
        }
      }
    },
  };
}

function readPart(reader: WeightReader, tensor: Tensor, first: number, count: number): Uint8Array {
  const width = tensorByteLength(tensor) / elementCount(tensor);
  return reader.read(tensor, first * width, (first + count) * width);
}
