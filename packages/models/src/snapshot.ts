import type { GptOssConfig } from './gpt-oss/config.ts';
import type { GptOssWeights } from './gpt-oss/weights.ts';
import type { Tokenizer } from './tokenizer.ts';

/** generation_config.json, as far as an engine uses it. */
export interface GenerationConfig {
  /** Tokens that end an answer. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
  readonly bosTokenId: number | null;
  /** Sampling defaults, null where the file says nothing. */
  readonly doSample: boolean | null;
  readonly temperature: number | null;
  readonly topP: number | null;
  readonly topK: number | null;
}

/** A checkpoint folder, opened: configuration, tokenizer and mapped tensors. Nothing is decoded or copied. */
export interface Snapshot extends Disposable {
  /** The folder. */
  readonly path: string;
  readonly layout: 'huggingface' | 'original';
  readonly config: GptOssConfig;
  readonly generation: GenerationConfig;
  readonly tokenizer: Tokenizer;
  readonly weights: GptOssWeights;
  /** Bytes of all tensors. */
  readonly tensorBytes: number;
  /** The text of chat_template.jinja, or null. */
  readonly chatTemplate: string | null;
  /** Unmaps the files. Tensor bytes must not be touched afterwards. */
  dispose(): void;
}
