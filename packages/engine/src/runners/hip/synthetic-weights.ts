/**
 * Weights of a model's shape that nobody trained, made on the device: to measure with, where there is no checkpoint.
 */

import { uploadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, DevicePointer, GpuDriver, GpuStream } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import { allocateParts } from './buffer-parts.ts';
import type { DeviceWeights, LayerWeights, OuterWeights } from './device-weights.ts';

/** What a part is filled with. */
type Filling = 'matrix' | 'codes' | 'scales' | 'zeros' | 'ones';

const PATTERN_BYTES = 16 * 2 ** 20;
/** 2^-8: with codes up to 6, experts of 2880 columns neither grow nor vanish. */
const SCALE = 119;

/** Makes all weights. They repeat every 16 MiB, which no cache is large enough to notice while layers alternate. */
export async function syntheticWeights(
  driver: GpuDriver,
  stream: GpuStream,
  config: GptOssConfig,
): Promise<DeviceWeights> {
  const buffers: DeviceBuffer[] = [];
  const free = (): void => {
    for (const buffer of buffers.splice(0)) buffer.free();
  };
  const patterns = new Map<Filling, DeviceBuffer>();
  try {
    for (const filling of ['matrix', 'codes', 'ones'] as const) {
      const pattern = driver.allocate(PATTERN_BYTES);
      patterns.set(filling, pattern);
      await uploadBytes(driver, stream, pattern.pointer, patternOf(filling));
    }
    const fill = (at: DevicePointer, bytes: number, filling: Filling): void => {
      const pattern = patterns.get(filling);
      if (pattern === undefined) {
        driver.fill(at, filling === 'scales' ? SCALE : 0, bytes, stream);
        return;
      }
      for (let done = 0; done < bytes; done += PATTERN_BYTES) {
        driver.copyOnDevice(at + BigInt(done), pattern.pointer, Math.min(PATTERN_BYTES, bytes - done), stream);
      }
    };
    const make = <Name extends string>(
      parts: Readonly<Record<Name, readonly [filling: Filling, bytes: number]>>,
    ): Readonly<Record<Name, DevicePointer>> => {
      const { buffer, at } = allocateParts(driver, parts, ([, bytes]) => bytes);
      buffers.push(buffer);
      for (const name in parts) {
        const [filling, bytes] = parts[name];
        fill(at[name], bytes, filling);
      }
      return at;
    };
    const outer: OuterWeights = make(outerParts(config));
    const layers: LayerWeights[] = Array.from({ length: config.layers }, () => make(layerParts(config)));
    await stream.synchronize();
    return { outer, layers, free };
  } catch (error) {
    free();
    throw error;
  } finally {
    for (const pattern of patterns.values()) pattern.free();
  }
}

function outerParts({ vocabularySize, hiddenSize }: GptOssConfig) {
  return {
    embedding: ['matrix', 2 * vocabularySize * hiddenSize],
    finalNorm: ['ones', 4 * hiddenSize],
    head: ['matrix', 2 * vocabularySize * hiddenSize],
  } as const;
}

function layerParts(config: GptOssConfig) {
  const { hiddenSize, intermediateSize, experts, attentionHeads, keyValueHeads, headDim } = config;
  const qkvRows = (attentionHeads + 2 * keyValueHeads) * headDim;
  const [gateUp, down] = [experts * 2 * intermediateSize, experts * hiddenSize];
  return {
    inputNorm: ['ones', 4 * hiddenSize],
    qkv: ['matrix', 2 * qkvRows * hiddenSize],
    qkvBias: ['zeros', 4 * qkvRows],
    sinks: ['zeros', 4 * attentionHeads],
    attentionOutput: ['matrix', 2 * hiddenSize * attentionHeads * headDim],
    attentionOutputBias: ['zeros', 4 * hiddenSize],
    expertNorm: ['ones', 4 * hiddenSize],
    gate: ['matrix', 2 * experts * hiddenSize],
    gateBias: ['zeros', 4 * experts],
    gateUpCodes: ['codes', (gateUp * hiddenSize) / 2],
    gateUpScales: ['scales', (gateUp * hiddenSize) / 32],
    gateUpBias: ['zeros', 4 * gateUp],
    downCodes: ['codes', (down * intermediateSize) / 2],
    downScales: ['scales', (down * intermediateSize) / 32],
    downBias: ['zeros', 4 * down],
  } as const;
}

/** Random bytes; bf16 of either sign, 2^-8 to 2^-5 in magnitude; f32 ones. */
function patternOf(filling: 'matrix' | 'codes' | 'ones'): Uint8Array {
  const words = new Uint32Array(PATTERN_BYTES / 4);
  if (filling === 'ones') return new Uint8Array(words.fill(0x3f800000).buffer);
  let state = 0x9e3779b9;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    // Sign and mantissa at random, and two bits of exponent below that of 2^-5.
    words[index] = filling === 'codes' ? state : (state & 0x81ff81ff) | 0x3c003c00;
  }
  return new Uint8Array(words.buffer);
}
