/** A model small enough to be emulated kernel by kernel, and arrays of numbers for it. */

import type { GptOssConfig } from '@switchyard/models';
import { parseGptOssConfig } from '@switchyard/models';
import type { KernelTarget } from '@switchyard/gpu';
import type { EmulatedKernel, EmulatedValue, KernelEmulator } from '@switchyard/gpu/testing';
import type { KernelArgument } from '@switchyard/gpu';
import type { KvType } from '../../../src/runners/kv-bytes.ts';
import type { KernelContext, KernelForm } from '../../../src/runners/hip/kernel-form.ts';

/** Every size another, so that a mistaken one shows. */
export const SMALL_CONFIG: GptOssConfig = parseGptOssConfig(
  {
    architectures: ['GptOssForCausalLM'],
    model_type: 'gpt_oss',
    head_dim: 64,
    hidden_size: 288,
    intermediate_size: 96,
    layer_types: ['sliding_attention', 'full_attention'],
    max_position_embeddings: 4096,
    num_attention_heads: 4,
    num_experts_per_tok: 3,
    num_hidden_layers: 2,
    num_key_value_heads: 2,
    num_local_experts: 12,
    quantization_config: { quant_method: 'mxfp4' },
    rms_norm_eps: 1e-5,
    rope_theta: 150000,
    sliding_window: 24,
    swiglu_limit: 7,
    vocab_size: 352,
    eos_token_id: 0,
  },
  'config.json',
).config;

export const contextFor = (target: KernelTarget, kv: KvType = 'int16'): KernelContext => ({
  config: SMALL_CONFIG,
  target,
  kv,
});

/** Runs a form with its arguments by name. */
export function runForm<List extends readonly KernelArgument[]>(
  emulator: KernelEmulator,
  form: KernelForm<List>,
  blocks: number,
  values: Readonly<Record<List[number]['name'], EmulatedValue>>,
): void {
  const kernel: EmulatedKernel = emulator.load({ ...form, symbol: `engine::${form.symbol}` });
  kernel(blocks, ...form.arguments.map(({ name }) => values[name as List[number]['name']]));
}

/** Repeatable numbers, about normal. */
export function randomFloats(length: number, seed: number, scale = 1): Float32Array {
  let state = (seed * 2654435761 + 1) >>> 0;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  return Float32Array.from({ length }, () => scale * (next() + next() + next() + next() - 2) * Math.sqrt(3));
}

/** Cut to bf16: the bits, and the numbers that they are. */
export function asBf16(values: Float32Array): { readonly bits: Uint16Array; readonly values: Float64Array } {
  const bits = Uint16Array.from(
    new Uint32Array(values.buffer, values.byteOffset, values.length),
    (word) => word >>> 16,
  );
  const words = Uint32Array.from(bits, (half) => half << 16);
  return { bits, values: new Float64Array(new Float32Array(words.buffer)) };
}

/** The largest difference, and the root mean square of what is expected. */
export function errorOf(found: ArrayLike<number>, expected: ArrayLike<number>): { largest: number; scale: number } {
  let [largest, squares] = [0, 0];
  for (let index = 0; index < expected.length; index++) {
    const difference = Math.abs((found[index] as number) - (expected[index] as number));
    if (!(difference <= largest)) largest = difference;
    squares += (expected[index] as number) ** 2;
  }
  return { largest, scale: Math.sqrt(squares / expected.length) };
}
