/** Seeded random weights with which a GPT-OSS stays finite and its router spreads its tokens, made chunk by chunk. */

import { type Cipher, createCipheriv, createHash } from 'node:crypto';
import type { PlannedTensor } from './checkpoint-plan.ts';

/** Bytes that are made at a time; a multiple of the cipher's block. */
export const CHUNK_BYTES = 256 * 1024;

const CIPHER_BLOCK_BYTES = 16;

/**
 * The bytes of a tensor, in chunks of at most CHUNK_BYTES. They depend on the seed and on `tensor.source` alone: the two
 * layouts of a checkpoint hold the same weights, and a checkpoint of fewer layers holds the first layers of a larger one.
 *
 * - E2M1 codes are uniform, so that their root mean square is 2.93; E8M0 scales are 2^-9 to 2^-6, such that a weight's
 *   standard deviation is 0.0197, or 1.06 / sqrt(2880).
 * - Linear weights are normal with a standard deviation of 1 / sqrt(columns), embeddings 1, the LM head 2 / sqrt(columns),
 *   norms 1 with 0.1, sinks 0 with 1, biases 0 with 0.02.
 *
 * @param seed a whole number.
 */
export function* syntheticTensorBytes(tensor: PlannedTensor, seed: number): Generator<Uint8Array> {
  const { source, byteLength } = tensor;
  const stream = randomStream(`${seed}:${source.name}`, source.begin);
  const zeros = new Uint8Array(Math.min(CHUNK_BYTES, byteLength));
  const shape = shaperFor(tensor);
  for (let begin = 0; begin < byteLength; begin += CHUNK_BYTES) {
    const chunk = stream.update(zeros.subarray(0, Math.min(CHUNK_BYTES, byteLength - begin)));
    shape(chunk);
    yield chunk;
  }
}

/** AES in counter mode: fast, never repeating, and it can begin anywhere. */
function randomStream(name: string, begin: number): Cipher {
  const key = createHash('sha256').update(name).digest().subarray(0, CIPHER_BLOCK_BYTES);
  const counter = Buffer.alloc(CIPHER_BLOCK_BYTES);
  counter.writeBigUInt64BE(BigInt(begin / CIPHER_BLOCK_BYTES), CIPHER_BLOCK_BYTES - 8);
  return createCipheriv('aes-128-ctr', key, counter);
}

/** Turns uniform random bytes into the tensor's elements, in place. */
type Shaper = (chunk: Uint8Array) => void;

function shaperFor({ dtype, shape, source: { name } }: PlannedTensor): Shaper {
  if (dtype === 'U8') return name.endsWith('.scales') ? shapeScales : () => undefined;
  const columns = shape.at(-1) ?? 1;
  if (name.endsWith('norm.scale')) return normalBf16(1, 0.1);
  if (name.endsWith('attn.sinks')) return normalBf16(0, 1);
  if (name.endsWith('bias')) return normalBf16(0, 0.02);
  if (name === 'embedding.weight') return normalBf16(0, 1);
  return normalBf16(0, (name === 'unembedding.weight' ? 2 : 1) / Math.sqrt(columns));
}

/** E8M0 bytes by how often they come in 16: 2^(byte - 127). */
const SCALES: readonly number[] = [118, 118, ...Array<number>(7).fill(119), ...Array<number>(6).fill(120), 121];

function shapeScales(chunk: Uint8Array): void {
  for (let index = 0; index < chunk.length; index += 1) chunk[index] = SCALES[(chunk[index] ?? 0) & 15] ?? 119;
}

const normalTables = new Map<string, Uint16Array>();

function normalBf16(mean: number, deviation: number): Shaper {
  const key = `${mean}:${deviation}`;
  const table = normalTables.get(key) ?? makeNormalTable(mean, deviation);
  normalTables.set(key, table);
  return (chunk) => {
    const elements = new Uint16Array(chunk.buffer, chunk.byteOffset, chunk.length / 2);
    for (let index = 0; index < elements.length; index += 1) elements[index] = table[elements[index] ?? 0] ?? 0;
  };
}

/**
 * A bf16 of a normal distribution for each u16: the high byte gives the radius and the low byte the angle of a
 * Box-Muller transform. The largest is 3.53 deviations from the mean.
 */
function makeNormalTable(mean: number, deviation: number): Uint16Array {
  const table = new Uint16Array(65_536);
  const value = new Float32Array(1);
  const bits = new Uint32Array(value.buffer);
  const littleEndian = new DataView(table.buffer);
  for (let index = 0; index < table.length; index += 1) {
    const radius = Math.sqrt(-2 * Math.log(((index >> 8) + 0.5) / 256));
    const angle = (2 * Math.PI * ((index & 255) + 0.5)) / 256;
    value[0] = mean + deviation * radius * Math.cos(angle);
    littleEndian.setUint16(2 * index, ((bits[0] ?? 0) + 0x8000) >>> 16, true);
  }
  return table;
}
