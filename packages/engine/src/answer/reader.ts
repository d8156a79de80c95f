/**
 * From generated tokens to events.
 */

import type {
  AnalysisEvent,
  ContentEvent,
  SampledTokenLogprob,
  ToolCallDeltaEvent,
  ToolCallEndEvent,
  ToolCallStartEvent,
} from '../events.ts';

/** The events that a reader makes. */
export type AnswerEvent = AnalysisEvent | ContentEvent | ToolCallStartEvent | ToolCallDeltaEvent | ToolCallEndEvent;

/** Reads one answer token by token. */
export interface AnswerReader {
  /** Takes the next token. After a stop string nothing more comes out. */
  push(token: number, logprobs?: SampledTokenLogprob): AnswerEvent[];
  /** The answer is over: gives out what was held back and closes open calls. */
  finish(): AnswerEvent[];
  /** The stop string that came, or null. */
  readonly stoppedBy: string | null;
  /** Whether the answer holds a complete tool call. */
  readonly hasToolCall: boolean;
  /** Tokens of analysis text so far. */
  readonly reasoningTokens: number;
}
