/**
 * Where a checkpoint's weights lie in memory: matrices where the files are mapped (or as copies, where mapping them is not
 * safe), vectors as f32 beside them.
 */

import { readFloats, readTensorBytes } from '@switchyard/models';
import type { GptOssConfig, GptOssLayerWeights, GptOssWeights, Mxfp4Tensor, Tensor } from '@switchyard/models';
import { kvLayerNumbers } from './kv-layers.ts';
import { addressOf } from './shared-array.ts';

/** Weights in memory. Nothing of them may be collected while a library knows their addresses: hold this object. */
export class WeightAddresses {
  readonly #held: ArrayBufferView[] = [];
  readonly #kvLayers: readonly number[];
  readonly #config: GptOssConfig;
  readonly #copies: boolean;
  readonly #mapped: (address: bigint, bytes: number) => void;

  /**
   * @param copies whether matrices are read into memory instead of mapped.
   * @param mapped hears where mapped ones lie that are not read row by row, before anything of them is read.
   */
  constructor(config: GptOssConfig, copies: boolean, mapped: (address: bigint, bytes: number) => void) {
    this.#config = config;
    this.#copies = copies;
    this.#mapped = mapped;
    this.#kvLayers = kvLayerNumbers(config);
  }

  /** `Layer` of kernels/native/model.h. */
  layer(index: number, weights: GptOssLayerWeights): BigUint64Array {
    const { query, key, value, output, router, gateUp, down } = weights;
    return BigUint64Array.of(
      this.#vectors([weights.inputNorm]),
      this.#matrix(query.weight),
      this.#matrix(key.weight),
      this.#matrix(value.weight),
      this.#vectors([query.bias, key.bias, value.bias]),
      this.#vectors([weights.sinks]),
      this.#matrix(output.weight),
      this.#vectors([output.bias]),
      this.#vectors([weights.postAttentionNorm]),
      this.#matrix(router.weight),
      this.#vectors([router.bias]),
      this.#matrix((gateUp.weight as Mxfp4Tensor).blocks),
      this.#matrix((gateUp.weight as Mxfp4Tensor).scales),
      this.#vectors([gateUp.bias]),
      this.#matrix((down.weight as Mxfp4Tensor).blocks),
      this.#matrix((down.weight as Mxfp4Tensor).scales),
      this.#vectors([down.bias]),
      this.#config.layerTypes[index] === 'sliding' ? 1n : 0n,
      BigInt(this.#kvLayers[index] ?? 0),
    );
  }

  /** What native_ends of kernels/native/step.c gets. */
  ends({ embedding, finalNorm, lmHead }: GptOssWeights): BigUint64Array {
    // Of the embedding single rows are read, as tokens come: large pages would bring others with them.
    return BigUint64Array.of(this.#tensor(embedding), this.#vectors([finalNorm]), this.#matrix(lmHead));
  }

  /** A matrix that is read whole, or expert by expert. */
  #matrix(tensor: Tensor): bigint {
    const address = this.#tensor(tensor);
    if (!this.#copies) this.#mapped(address, tensor.bytes.byteLength);
    return address;
  }

  #tensor(tensor: Tensor): bigint {
    return this.#hold(this.#copies ? readTensorBytes(tensor) : tensor.bytes);
  }

  /** Vectors on end, as f32. */
  #vectors(tensors: readonly Tensor[]): bigint {
    const parts = tensors.map((tensor) => readFloats(tensor));
    const joined = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let end = 0;
    for (const part of parts) {
      joined.set(part, end);
      end += part.length;
    }
    return this.#hold(joined);
  }

  #hold(values: ArrayBufferView): bigint {
    this.#held.push(values);
    return addressOf(values);
  }
}
