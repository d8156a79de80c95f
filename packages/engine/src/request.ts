/**
 * What callers ask the engine for: a prompt, how to sample, when to stop, and what to report.
 */

import type { HarmonyMessage, HarmonyTool, JsonSchema, ReasoningEffort } from '@switchyard/models';

/** How the next token is chosen. Their defaults: `DEFAULT_SAMPLING` (sampling/parameters.ts). */
export interface SamplingOptions {
  /** Divides the logits; 0 takes the largest one (greedy). 0 to 100. Defaults to 0. */
  readonly temperature?: number;
  /** Keeps the smallest set of most likely tokens whose probabilities reach this sum. Above 0, up to 1. Defaults to 1 (off). */
  readonly topP?: number;
  /** Keeps the K most likely tokens. An integer >= 0. Defaults to 0 (off). */
  readonly topK?: number;
  /** Drops tokens less likely than this share of the most likely one. 0 to 1. Defaults to 0 (off). */
  readonly minP?: number;
  /**
   * Starts the request's own random numbers: the same request with the same seed gives the same tokens, alone or in any
   * company. For that, it reuses only prefixes of whole prefill chunks. 0 to 2^53 - 1. Defaults to a random one, which
   * the `done` event tells.
   */
  readonly seed?: number;
  /** Divides positive and multiplies negative logits of tokens in the prompt or the answer. Above 0, up to 10. Defaults to 1 (off). */
  readonly repetitionPenalty?: number;
  /** Subtracted from the logits of tokens that the answer has already. -2 to 2. Defaults to 0. */
  readonly presencePenalty?: number;
  /** Subtracted from a token's logit once for each time the answer has it. -2 to 2. Defaults to 0. */
  readonly frequencyPenalty?: number;
  /** Added to the logits of single tokens, by id: -100 to 100 each. Defaults to none. */
  readonly logitBias?: Readonly<Record<number, number>>;
}

/** A function that the model may call. */
export interface ToolDeclaration extends HarmonyTool {
  /** Holds the arguments to `parameters` whenever the model calls it. Calls that `toolChoice` demands, and calls beside a response format, are held to it anyway. Defaults to `false`. */
  readonly strict?: boolean;
  /** A grammar in Lark's language. The arguments are then an object with one text, `input`, and where they would be held to `parameters`, that text is held to the grammar. Defaults to none. */
  readonly inputGrammar?: string;
}

/** Which tool the model may or must call. */
export type ToolChoice = 'auto' | 'none' | 'required' | { readonly name: string };

/** What the final message has to be. */
export type ResponseFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json-object' }
  | {
      readonly type: 'json-schema';
      readonly schema: JsonSchema;
      /** What the prompt calls the format. Defaults to `'answer'`. */
      readonly name?: string;
      readonly description?: string;
    };

/** How the prompt is given: exactly one of `messages`, `prompt` and `promptIds`. */
export type PromptInput =
  | {
      /** A conversation, rendered in harmony with the fields of {@link ConversationOptions}. */
      readonly messages: readonly HarmonyMessage[];
      readonly prompt?: never;
      readonly promptIds?: never;
    }
  | {
      readonly messages?: never;
      /** Plain text to continue. Special tokens in it are letters unless `promptHasSpecialTokens` is set. */
      readonly prompt: string;
      readonly promptIds?: never;
    }
  | {
      readonly messages?: never;
      readonly prompt?: never;
      /** Token ids to continue, as they are. */
      readonly promptIds: ArrayLike<number>;
    };

/** What a harmony conversation says beside its messages. Ignored for `prompt` and `promptIds`. */
export interface ConversationOptions {
  /** Functions the model may call. Defaults to none. */
  readonly tools?: readonly ToolDeclaration[];
  /** Defaults to `'auto'`. */
  readonly toolChoice?: ToolChoice;
  /** What the final message has to be: a grammar holds it to that, and a schema is told in the prompt. Defaults to `{type: 'text'}`. */
  readonly responseFormat?: ResponseFormat;
  /** Defaults to `'medium'`. */
  readonly reasoningEffort?: ReasoningEffort;
  /** The first line of the system message. Defaults to the model's own. */
  readonly modelIdentity?: string;
  /** `YYYY-MM-DD`. Defaults to today (UTC). A fixed date keeps prompts and the prefix cache equal across midnight. */
  readonly currentDate?: string;
}

/** A prompt and how its answer is read. */
export type PromptRequest = PromptInput &
  ConversationOptions & {
    /** Whether special tokens in `prompt` are special. Never set it for text of a user. Defaults to `false`. */
    readonly promptHasSpecialTokens?: boolean;
    /**
     * How the answer is read: `'harmony'` splits it into analysis, content and tool calls, `'text'` gives everything as content.
     * Defaults to `'harmony'` for messages and for prompts that hold a `<|start|>` token, to `'text'` otherwise.
     */
    readonly output?: 'harmony' | 'text';
  };

/** One generation. */
export type GenerateRequest = PromptRequest &
  SamplingOptions & {
    /** The most tokens to generate, 1 and up. Defaults to what the context leaves. */
    readonly maxTokens?: number;
    /** The answer ends before the first of these appears in the content; the text is not given out. 1 to 16 strings, none empty. Defaults to none. */
    readonly stop?: string | readonly string[];
    /** Whether the stop string that ended the answer is given out with it. Defaults to `false`. */
    readonly includeStop?: boolean;
    /** The only tokens that may come, end tokens and markers among them if they may. At least one; not beside a response format or demanded or strict tools. Defaults to all. */
    readonly allowedTokenIds?: readonly number[];
    /** Words that message bodies may not have, as they are at the start of a text and behind a space. At most 128. Where a grammar leaves nothing else, it wins. Defaults to none. */
    readonly badWords?: readonly string[];
    /** Token ids that end the answer, beside the model's own. Defaults to none. */
    readonly stopTokenIds?: readonly number[];
    /** Goes on past the model's end tokens until `maxTokens` (benchmarks). Defaults to `false`. */
    readonly ignoreEndTokens?: boolean;
    /** How many of the likeliest tokens to report with each token; 0 reports the token's own log-probability only. 0 to 20. Defaults to reporting none. */
    readonly logprobs?: number;
    /** Emits `routing` events for this request: every layer's experts for each prompt and generated token. Turns prefix reuse off for it. Defaults to `false`. */
    readonly traceRouting?: boolean;
    /** Whether the prompt may start from another sequence's KV cache. Defaults to `true`. */
    readonly reusePrefix?: boolean;
    /** Ends the generation at the next step; the iterator throws AbortedError. */
    readonly signal?: AbortSignal;
  };

/** A text or token ids to score. */
export type ScoreInput =
  /** Read with its special tokens. */
  { readonly text: string } | { readonly ids: ArrayLike<number> };

/** How likely a text is under the model. */
export interface ScoreResult {
  readonly ids: readonly number[];
  /**
   * Natural-log probability of each token among all tokens given those before it; the first has none: `logprobs[i]` belongs
   * to `ids[i + 1]`.
   */
  readonly logprobs: Float64Array;
  /** Minus the sum of `logprobs`. */
  readonly nll: number;
  /** `ids.length`. */
  readonly tokens: number;
}
