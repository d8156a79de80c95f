/**
 * The messages between the model's thread and the thread that compiles and follows grammars. All of them survive a
 * structured clone.
 */

import type { TokenMask } from '../../sampling/token-mask.ts';
import type { SerializedError } from '../../serialized-error.ts';

/** What the grammars' thread starts with. */
export interface GrammarThreadData {
  /** The checkpoint folder, for its tokenizer. */
  readonly path: string;
}

/** What is asked; each call gets one answer, in the order of the calls. */
export type GrammarCall =
  | { readonly type: 'compile'; readonly schema: string | null }
  /** Starts a body; `tokens` are those that it has already, where it was lost with an earlier thread. */
  | {
      readonly type: 'start';
      readonly body: number;
      readonly schema: string | null;
      readonly tokens: readonly number[];
    }
  | { readonly type: 'accept'; readonly body: number; readonly token: number };

export type ToGrammars =
  | { readonly type: 'call'; readonly id: number; readonly call: GrammarCall }
  /** The body is over or nobody wants it any more. */
  | { readonly type: 'release'; readonly body: number };

export type GrammarAnswer =
  | { readonly type: 'compiled' }
  | { readonly type: 'mask'; readonly mask: TokenMask; readonly endAllowed: boolean }
  /** The token is outside the grammar. */
  | { readonly type: 'outside' }
  /** The schema cannot be enforced whole. */
  | { readonly type: 'refused'; readonly reason: string }
  | { readonly type: 'failed'; readonly error: SerializedError };

export type FromGrammars =
  /** The thread is at this call now: its time counts from here. */
  | { readonly type: 'begun'; readonly id: number }
  | { readonly type: 'answer'; readonly id: number; readonly answer: GrammarAnswer };
