/**
 * What goes into the parser beside tokens, and what it tells.
 */

import type { HarmonyFault } from '../../errors.ts';
import type { HarmonyHeader, HarmonyMessageKind } from './types.ts';

export interface HarmonyParserOptions {
  /**
   * `assistant` (default): the stream goes on behind a generation prompt, `<|start|>assistant`. Null: it begins with a
   * `<|start|>` of its own, as a prompt does.
   */
  readonly role?: 'assistant' | null;
  /** The names of the functions that can be called: a call of anything else is analysis. Default: any name. */
  readonly tools?: ReadonlySet<string>;
  /** Throw HarmonyParseError at the first fault. Default false. The parser cannot be used after that. */
  readonly strict?: boolean;
  /** Makes the id of a tool call. Default: `call_` and a random UUID without hyphens. */
  readonly newCallId?: () => string;
}

/** What ended a message: its end token, a marker that can only begin another message, or the end of the stream. */
export type HarmonyMessageEnd = 'end' | 'return' | 'call' | 'end-of-text' | 'next-message' | 'stream';

/** One message of a stream. */
export interface ParsedHarmonyMessage {
  readonly kind: HarmonyMessageKind;
  readonly header: HarmonyHeader;
  /** Whether `<|message|>` ended the header. If not, it was told from the content by its looks. */
  readonly wholeHeader: boolean;
  readonly content: string;
  /** The id made for a tool call, null for other messages. */
  readonly callId: string | null;
  /** Null while the message goes on. */
  readonly end: HarmonyMessageEnd | null;
}

/** What happened in the stream. `index` counts the messages from 0. */
export type HarmonyEvent =
  | {
      readonly type: 'message-start';
      readonly index: number;
      readonly kind: HarmonyMessageKind;
      readonly header: HarmonyHeader;
      readonly wholeHeader: boolean;
      readonly callId: string | null;
    }
  /** Content that goes behind what came before: never empty, never half a character. */
  | { readonly type: 'content'; readonly index: number; readonly kind: HarmonyMessageKind; readonly text: string }
  | {
      readonly type: 'message-end';
      readonly index: number;
      readonly kind: HarmonyMessageKind;
      readonly end: HarmonyMessageEnd;
    }
  /** Something that is not harmony. `tokenIndex` counts the ids from 0. */
  | { readonly type: 'fault'; readonly fault: HarmonyFault; readonly tokenIndex: number; readonly found: string };
