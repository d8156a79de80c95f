/** A GPT-OSS snapshot as llama.cpp reads it: the same weights, bit for bit, in a GGUF file. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ExpertTensor,
  type GptOssConfig,
  type GptOssWeights,
  type Mxfp4Tensor,
  type Snapshot,
  type Tensor,
  readFloats,
} from '@switchyard/models';
import { type GgufTensor, type GgufValue, writeGguf } from './gguf-file.ts';

const ARCHITECTURE = 'gpt-oss';
/** Bytes of a block's codes, and of a block with its scale. */
const CODE_BYTES = 16;
const BLOCK_BYTES = 1 + CODE_BYTES;
/** Kinds of tokens. */
const [NORMAL, CONTROL, UNUSED] = [1, 3, 5];

/** What is read of a tokenizer.json. */
interface TokenizerFile {
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | readonly [string, string])[];
  };
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
}

/**
 * Writes a snapshot with MXFP4 experts, a tokenizer of its own and YaRN as a GGUF file.
 *
 * @throws TypeError where it has something else
 */
export function writeSnapshotAsGguf(snapshot: Snapshot, path: string): void {
  writeGguf(path, new Map([...modelValues(snapshot), ...tokenizerValues(snapshot)]), [
    ...tensorsOf(snapshot.weights, snapshot.config),
  ]);
}

function modelValues({ config, path }: Snapshot): [string, GgufValue][] {
  const { yarn, theta } = config.rope;
  if (yarn === null) throw new TypeError('The snapshot · found no YaRN · take a published shape');
  const own = (name: string): string => `${ARCHITECTURE}.${name}`;
  return [
    ['general.architecture', ARCHITECTURE],
    ['general.name', path],
    ['general.alignment', 32],
    [own('block_count'), config.layers],
    [own('context_length'), config.contextLength],
    [own('embedding_length'), config.hiddenSize],
    [own('feed_forward_length'), config.intermediateSize],
    [own('attention.head_count'), config.attentionHeads],
    [own('attention.head_count_kv'), config.keyValueHeads],
    [own('attention.key_length'), config.headDim],
    [own('attention.value_length'), config.headDim],
    [own('attention.layer_norm_rms_epsilon'), { f32: config.rmsNormEpsilon }],
    [own('attention.sliding_window'), config.slidingWindow],
    [own('rope.freq_base'), { f32: theta }],
    [own('rope.scaling.type'), 'yarn'],
    [own('rope.scaling.factor'), { f32: yarn.factor }],
    [own('rope.scaling.original_context_length'), yarn.originalContextLength],
    [own('expert_count'), config.experts],
    [own('expert_used_count'), config.expertsPerToken],
    [own('expert_feed_forward_length'), config.intermediateSize],
    [own('vocab_size'), config.vocabularySize],
  ];
}

function tokenizerValues({ path, config }: Snapshot): [string, GgufValue][] {
  const { model, added_tokens: added } = JSON.parse(
    readFileSync(join(path, 'tokenizer.json'), 'utf8'),
  ) as TokenizerFile;
  const strings: string[] = [];
  for (const [token, id] of Object.entries(model.vocab)) strings[id] = token;
  for (const { id, content } of added) strings[id] = content;
  // llama.cpp counts tokens, where the matrices may have rows beyond them.
  const known = strings.length;
  for (let id = known; id < config.vocabularySize; id++) strings.push(`[PAD${id}]`);
  const kinds = Int32Array.from(strings, (_, id) => (id < known ? NORMAL : UNUSED));
  for (const { id } of added) kinds[id] = CONTROL;
  const named = (content: string): number => added.find((token) => token.content === content)?.id ?? 0;
  return [
    ['tokenizer.ggml.model', 'gpt2'],
    ['tokenizer.ggml.pre', 'gpt-4o'],
    ['tokenizer.ggml.tokens', { strings }],
    ['tokenizer.ggml.token_type', { i32: kinds }],
    [
      'tokenizer.ggml.merges',
      { strings: model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' '))) },
    ],
    ['tokenizer.ggml.bos_token_id', named('<|startoftext|>')],
    ['tokenizer.ggml.eos_token_id', named('<|return|>')],
    ['tokenizer.ggml.padding_token_id', named('<|endoftext|>')],
  ];
}

function* tensorsOf(weights: GptOssWeights, config: GptOssConfig): Generator<GgufTensor> {
  const { hiddenSize, intermediateSize, experts, vocabularySize } = config;
  yield matrix('token_embd.weight', [hiddenSize, vocabularySize], weights.embedding);
  yield vector('output_norm.weight', [hiddenSize], weights.finalNorm);
  yield matrix('output.weight', [hiddenSize, vocabularySize], weights.lmHead);
  for (const [layer, own] of weights.layers.entries()) {
    const name = (part: string): string => `blk.${layer}.${part}`;
    yield vector(name('attn_norm.weight'), [hiddenSize], own.inputNorm);
    yield vector(name('post_attention_norm.weight'), [hiddenSize], own.postAttentionNorm);
    for (const part of ['query', 'key', 'value'] as const) {
      const { weight, bias } = own[part];
      yield matrix(name(`attn_${part[0]}.weight`), [hiddenSize, bias.shape[0] ?? 0], weight);
      yield vector(name(`attn_${part[0]}.bias`), bias.shape, bias);
    }
    yield matrix(name('attn_output.weight'), [config.attentionHeads * config.headDim, hiddenSize], own.output.weight);
    yield vector(name('attn_output.bias'), [hiddenSize], own.output.bias);
    yield vector(name('attn_sinks.weight'), [config.attentionHeads], own.sinks);
    yield vector(name('ffn_gate_inp.weight'), [hiddenSize, experts], own.router.weight);
    yield vector(name('ffn_gate_inp.bias'), [experts], own.router.bias);
    for (const [row, part] of ['gate', 'up'].entries()) {
      const everySecond = { first: row, step: 2 };
      yield expertMatrix(name(`ffn_${part}_exps.weight`), own.gateUp.weight, everySecond);
      yield {
        ...vector(name(`ffn_${part}_exps.bias`), [intermediateSize, experts], own.gateUp.bias),
        pieces: () => [bytesOf(readFloats(own.gateUp.bias).filter((_, index) => index % 2 === row))],
      };
    }
    yield expertMatrix(name('ffn_down_exps.weight'), own.down.weight, { first: 0, step: 1 });
    yield vector(name('ffn_down_exps.bias'), [hiddenSize, experts], own.down.bias);
  }
}

function matrix(name: string, dimensions: readonly number[], tensor: Tensor): GgufTensor {
  if (tensor.dtype !== 'BF16') throw new TypeError(`${tensor.name} · found ${tensor.dtype} · matrices are BF16`);
  return { name, type: 'bf16', dimensions, pieces: () => [tensor.bytes] };
}

/** What llama.cpp reads as f32. */
function vector(name: string, dimensions: readonly number[], tensor: Tensor): GgufTensor {
  return { name, type: 'f32', dimensions, pieces: () => [bytesOf(readFloats(tensor))] };
}

/** Rows `first`, first + step and on of every expert. */
interface Rows {
  readonly first: number;
  readonly step: number;
}

function expertMatrix(name: string, weight: ExpertTensor, rows: Rows): GgufTensor {
  if (weight.kind !== 'mxfp4') throw new TypeError(`${weight.tensor.name} · found floats · experts are MXFP4`);
  const [experts, outputs, columns] = weight.shape;
  const dimensions = [columns, outputs / rows.step, experts];
  return { name, type: 'mxfp4', dimensions, pieces: () => expertPieces(weight, rows) };
}

/**
 * ggml's blocks, an expert at a time: the scale, then 16 bytes whose lower halves are the block's first 16 values, where
 * a checkpoint has neighbours in a byte.
 */
function* expertPieces(weight: Mxfp4Tensor, { first, step }: Rows): Generator<Uint8Array> {
  const [experts, outputs, columns] = weight.shape;
  const blocks = columns / (2 * CODE_BYTES);
  const [codes, scales] = [weight.blocks.bytes, weight.scales.bytes];
  const piece = new Uint8Array((outputs / step) * blocks * BLOCK_BYTES);
  for (let expert = 0; expert < experts; expert++) {
    let to = 0;
    for (let row = first; row < outputs; row += step) {
      for (let block = (expert * outputs + row) * blocks, end = block + blocks; block < end; block++) {
        piece[to++] = scales[block] ?? 0;
        for (let i = 0; i < CODE_BYTES; i++) {
          const shift = 4 * (i & 1);
          const low = ((codes[block * CODE_BYTES + (i >> 1)] ?? 0) >> shift) & 15;
          const high = ((codes[block * CODE_BYTES + (i >> 1) + CODE_BYTES / 2] ?? 0) >> shift) & 15;
          piece[to++] = low | (high << 4);
        }
      }
    }
    yield piece;
  }
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
