/**
 * Reads an answer as plain text.
 */

import type { Tokenizer } from '@switchyard/models';
import type { SampledTokenLogprob } from '../events.ts';
import type { AnswerEvent, AnswerReader } from './reader.ts';
import { StopStringFilter, type StopStrings } from './stop-strings.ts';

/** Everything is content. Special tokens are left out, and half characters wait for the rest of their bytes. */
export class TextReader implements AnswerReader {
  readonly hasToolCall = false;
  readonly reasoningTokens = 0;
  readonly #tokenizer: Tokenizer;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  readonly #filter: StopStringFilter;
  #logprobs: SampledTokenLogprob[] = [];
  #stoppedBy: string | null = null;

  constructor(tokenizer: Tokenizer, stops: StopStrings) {
    this.#tokenizer = tokenizer;
    this.#filter = new StopStringFilter(stops);
  }

  get stoppedBy(): string | null {
    return this.#stoppedBy;
  }

  push(token: number, logprobs?: SampledTokenLogprob): AnswerEvent[] {
    if (this.#stoppedBy !== null || this.#tokenizer.isSpecial(token)) return [];
    if (logprobs !== undefined) this.#logprobs.push(logprobs);
    return this.#give(this.#decoder.decode(this.#tokenizer.tokenBytes(token), { stream: true }));
  }

  finish(): AnswerEvent[] {
    if (this.#stoppedBy !== null) return [];
    const events = this.#give(this.#decoder.decode());
    return this.#stoppedBy === null ? [...events, ...this.#emit(this.#filter.flush())] : events;
  }

  #give(decoded: string): AnswerEvent[] {
    const { text, stoppedBy } = this.#filter.push(decoded);
    this.#stoppedBy = stoppedBy;
    return this.#emit(text);
  }

  #emit(text: string): AnswerEvent[] {
    if (text === '') return [];
    const logprobs = this.#logprobs;
    this.#logprobs = [];
    return [{ type: 'content', text, message: 0, channel: 'final', ...(logprobs.length > 0 ? { logprobs } : {}) }];
  }
}
