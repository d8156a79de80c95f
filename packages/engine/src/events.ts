/**
 * What a generation gives back while it runs.
 */

import type { HarmonyToolCall } from '@switchyard/models';
import type { LayerRouting } from './runners/runner.ts';

/** Why an answer ended. */
export type FinishReason =
  /** The model ended its turn, or a stop string or stop token came. */
  | 'stop'
  /** `maxTokens`, the context or the KV budget ran out. */
  | 'length'
  /** The model called one or more tools and waits for their results. */
  | 'tool-calls';

/** Tokens read and made. */
export interface Usage {
  readonly promptTokens: number;
  /** Prompt tokens taken from the prefix cache. */
  readonly cachedTokens: number;
  /** Tokens generated, end token included. */
  readonly completionTokens: number;
  /** Generated tokens in the analysis channel, headers not counted. */
  readonly reasoningTokens: number;
}

/** Where the time went, in milliseconds of a monotonic clock. */
export interface Timings {
  /** From the request's arrival to its first step. */
  readonly queue: number;
  /** From the first step to the first token. */
  readonly prefill: number;
  /** From the first token to the last. */
  readonly decode: number;
  /** From the request's arrival to the first token. */
  readonly timeToFirstToken: number;
  /** From the request's arrival to the last token. */
  readonly total: number;
  /** Prompt tokens computed (cached ones not counted) per second of prefill. */
  readonly prefillTokensPerSecond: number;
  /** Tokens after the first per second of decode; 0 where there is no second token. */
  readonly decodeTokensPerSecond: number;
}

/**
 * One token's likelihood under the model, before temperature, penalties, bias and masks. Ids without a token, which a
 * padded vocabulary has, are left out: the probabilities of all tokens sum to 1.
 */
export interface TokenLogprob {
  readonly id: number;
  /** The token's text; U+FFFD where its bytes are no whole characters. */
  readonly token: string;
  readonly bytes: readonly number[];
  /** Natural logarithm. */
  readonly logprob: number;
}

/** A generated token's likelihood with those of its rivals, best first. */
export interface SampledTokenLogprob extends TokenLogprob {
  readonly top: readonly TokenLogprob[];
}

/** A request was taken into the queue. Always the first event: errors of the request itself come before it. */
export interface QueuedEvent {
  readonly type: 'queued';
  /** Unique in the engine's lifetime. */
  readonly id: number;
  readonly promptTokens: number;
}

/** What pieces of text tell of the message that they belong to. */
export interface MessagePiece {
  /**
   * The text, with `separator` at its start: the texts of all events of a type, one behind the other, are the whole. Never
   * empty.
   */
  readonly text: string;
  /** The message's place in the answer, counted from 0: calls count, and messages without text. */
  readonly message: number;
  /** The line break between this message and the one before it of the same event type: in its first piece only. */
  readonly separator?: '\n';
}

/** More text of the analysis channel, or of a message that is no content and no call. */
export interface AnalysisEvent extends MessagePiece {
  readonly type: 'analysis';
  /** The tokens that `text` was made of, where `logprobs` was asked for. */
  readonly logprobs?: readonly SampledTokenLogprob[];
}

/** More text for the user: the final channel, or commentary without a recipient. */
export interface ContentEvent extends MessagePiece {
  readonly type: 'content';
  /** `'commentary'` for a preamble before tool calls; `'final'` otherwise. */
  readonly channel: 'final' | 'commentary';
  readonly logprobs?: readonly SampledTokenLogprob[];
}

/** The model starts to call a tool. */
export interface ToolCallStartEvent {
  readonly type: 'tool-call-start';
  /** Calls of this answer counted from 0. */
  readonly index: number;
  readonly id: string;
  readonly name: string;
}

/** More of a call's arguments. */
export interface ToolCallDeltaEvent {
  readonly type: 'tool-call-delta';
  readonly index: number;
  readonly name: string;
  /** A piece of the arguments' JSON text. */
  readonly text: string;
}

/** A call is over. */
export interface ToolCallEndEvent {
  readonly type: 'tool-call-end';
  readonly index: number;
  readonly call: HarmonyToolCall;
  /** False where the answer ended within the arguments: they are cut short. */
  readonly complete: boolean;
}

/** What the routers chose for a run of positions of this request. Only with `traceRouting`. */
export interface RoutingEvent {
  readonly type: 'routing';
  /** The first position: 0 is the prompt's first token. */
  readonly position: number;
  readonly tokens: number;
  /** The tokens at these positions: as many as `tokens` says. */
  readonly ids: readonly number[];
  /** One entry a layer, in order; rows are the positions' tokens. */
  readonly layers: readonly LayerRouting[];
}

/** The answer is over. Always the last event. */
export interface DoneEvent {
  readonly type: 'done';
  readonly finishReason: FinishReason;
  /** The stop string or token that ended the answer; null where the model's own end did. */
  readonly stoppedBy: string | number | null;
  /** Every generated token, in order. */
  readonly ids: readonly number[];
  /** `ids` as text, special tokens included. */
  readonly text: string;
  /** The seed that was used. */
  readonly seed: number;
  readonly usage: Usage;
  readonly timings: Timings;
}

export type GenerateEvent =
  | QueuedEvent
  | AnalysisEvent
  | ContentEvent
  | ToolCallStartEvent
  | ToolCallDeltaEvent
  | ToolCallEndEvent
  | RoutingEvent
  | DoneEvent;

/** A whole answer: what `collect` makes of the events. */
export interface GenerateResult {
  readonly ids: readonly number[];
  /** All generated tokens as text, special tokens included. */
  readonly text: string;
  readonly analysis: string;
  /** The content: preambles and final messages in their order, each on a new line. */
  readonly final: string;
  readonly toolCalls: readonly HarmonyToolCall[];
  readonly finishReason: FinishReason;
  readonly stoppedBy: string | number | null;
  readonly seed: number;
  readonly usage: Usage;
  readonly timings: Timings;
  /** The content's tokens, where `logprobs` was asked for. */
  readonly logprobs?: readonly SampledTokenLogprob[];
}
