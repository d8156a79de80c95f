/**
 * One request on its way through the engine: takes the worker's reports and hands out events.
 */

import type { Tokenizer } from '@switchyard/models';
import type { AnswerReader } from './reader.ts';
import { describeLogprobs } from './token-logprobs.ts';
import { AbortedError } from '../errors.ts';
import type { FinishReason, GenerateEvent, Timings } from '../events.ts';
import type {
  FinishReport,
  GenerateJob,
  JobListener,
  JobTimings,
  RoutingReport,
  TokenReport,
} from '../scheduler/job.ts';

/** What a generation needs of its engine. */
export interface GenerationHost {
  readonly tokenizer: Tokenizer;
  submit(job: GenerateJob, listener: JobListener): void;
  cancel(id: number): void;
  pause(id: number, paused: boolean): void;
}

export interface GenerationOptions {
  readonly host: GenerationHost;
  readonly job: GenerateJob;
  readonly reader: AnswerReader;
  readonly signal: AbortSignal | undefined;
  /** The stop tokens that the caller asked for, the model's own end tokens not among them. */
  readonly stopTokenIds: readonly number[];
}

/** A call of `next` that has nothing to give yet. */
interface Waiter {
  readonly resolve: (result: IteratorResult<GenerateEvent>) => void;
  readonly reject: (error: Error) => void;
}

/** Unread events at which a request pauses. Pieces of one text are joined and count once. */
const MOST_UNREAD = 256;

/**
 * The iterator that `Engine.generate` returns. Events queue up while nobody asks, pieces of one text joined: a slow
 * reader delays no one else and costs the text of its own answer. Where events cannot be joined (log-probabilities,
 * routing), the request pauses until they are read. Leaving the loop early cancels the request.
 */
export class Generation implements AsyncIterableIterator<GenerateEvent>, JobListener {
  readonly #host: GenerationHost;
  readonly #job: GenerateJob;
  readonly #reader: AnswerReader;
  readonly #signal: AbortSignal | undefined;
  readonly #stopTokenIds: readonly number[];
  readonly #events: GenerateEvent[] = [];
  readonly #ids: number[] = [];
  readonly #waiters: Waiter[] = [];
  #error: Error | null = null;
  #ended = false;
  #paused = false;
  #start: NonNullable<TokenReport['start']> = { cachedTokens: 0, queue: 0, prefill: 0 };
  #firstAt: number | null = null;

  constructor({ host, job, reader, signal, stopTokenIds }: GenerationOptions) {
    this.#host = host;
    this.#job = job;
    this.#reader = reader;
    this.#signal = signal;
    this.#stopTokenIds = stopTokenIds;
    if (signal?.aborted === true) {
      this.failed(new AbortedError('The generation', signal.reason));
      return;
    }
    host.submit(job, this);
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next event. Throws the request's error; after the last event `done` is true. */
  next(): Promise<IteratorResult<GenerateEvent>> {
    const event = this.#events.shift();
    if (this.#paused && this.#events.length <= MOST_UNREAD / 2) this.#pause(false);
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#error !== null) {
      const error = this.#error;
      this.#error = null;
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
    });
  }

  /** Cancels the request at the next step. Whoever waits in `next` hears that there is no more. */
  return(): Promise<IteratorResult<GenerateEvent>> {
    if (!this.#ended) {
      this.#host.cancel(this.#job.id);
      this.#end();
    }
    this.#events.length = 0;
    this.#error = null;
    this.#releaseWaiters();
    return Promise.resolve({ done: true, value: undefined });
  }

  queued(): void {
    this.#emit({ type: 'queued', id: this.#job.id, promptTokens: this.#job.prompt.length });
  }

  token(report: TokenReport): void {
    if (this.#ended) return;
    this.#ids.push(report.token);
    this.#firstAt ??= report.at;
    if (report.start !== undefined) this.#start = report.start;
    const logprobs =
      report.logprobs === undefined ? undefined : describeLogprobs(this.#host.tokenizer, report.token, report.logprobs);
    for (const event of this.#reader.push(report.token, logprobs)) this.#emit(event);
    if (this.#reader.stoppedBy === null) return;
    // The worker knows nothing of text: it may have made another token by now, which is not part of the answer.
    this.#host.cancel(this.#job.id);
    const { cachedTokens, queue, prefill } = this.#start;
    this.#finish('stop', this.#reader.stoppedBy, cachedTokens, { queue, prefill, decode: report.at - this.#firstAt });
  }

  routing({ position, tokens, layers }: RoutingReport): void {
    if (this.#ended) return;
    const ids = Array.from({ length: tokens }, (_, row) => this.#idAt(position + row));
    this.#emit({ type: 'routing', position, tokens, ids, layers });
  }

  finished(report: FinishReport): void {
    if (this.#ended) return;
    for (const event of this.#reader.finish()) this.#emit(event);
    const { stopToken } = report;
    const asked = stopToken !== null && this.#stopTokenIds.includes(stopToken) ? stopToken : null;
    this.#finish(report.finishReason, this.#reader.stoppedBy ?? asked, report.cachedTokens, report.timings);
  }

  scored(): void {}

  failed(error: Error): void {
    if (this.#ended) return;
    this.#end();
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#error = error;
    else waiter.reject(error);
    this.#releaseWaiters();
  }

  readonly #abort = (): void => {
    if (this.#ended) return;
    this.#host.cancel(this.#job.id);
    this.failed(new AbortedError('The generation', this.#signal?.reason));
  };

  #finish(
    reason: 'stop' | 'length',
    stoppedBy: string | number | null,
    cachedTokens: number,
    timings: JobTimings,
  ): void {
    const calls = reason === 'stop' && this.#reader.hasToolCall && typeof stoppedBy !== 'string';
    const finishReason: FinishReason = calls ? 'tool-calls' : reason;
    this.#emit({
      type: 'done',
      finishReason,
      stoppedBy,
      ids: this.#ids,
      text: this.#host.tokenizer.decode(this.#ids),
      seed: this.#job.sampling.seed,
      usage: {
        promptTokens: this.#job.prompt.length,
        cachedTokens,
        completionTokens: this.#ids.length,
        reasoningTokens: this.#reader.reasoningTokens,
      },
      timings: describeTimings(timings, this.#job.prompt.length - cachedTokens, this.#ids.length),
    });
    this.#end();
    this.#releaseWaiters();
  }

  /** The token at a position: 0 is the prompt's first. A step reads only tokens that were reported before it. */
  #idAt(position: number): number {
    const { prompt } = this.#job;
    return (position < prompt.length ? prompt[position] : this.#ids[position - prompt.length]) ?? -1;
  }

  #releaseWaiters(): void {
    for (const { resolve } of this.#waiters.splice(0)) resolve({ done: true, value: undefined });
  }

  #end(): void {
    this.#ended = true;
    this.#signal?.removeEventListener('abort', this.#abort);
  }

  #emit(event: GenerateEvent): void {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve({ done: false, value: event });
      return;
    }
    const last = this.#events.at(-1);
    const joined = last === undefined ? null : joinTexts(last, event);
    if (joined === null) this.#events.push(event);
    else this.#events[this.#events.length - 1] = joined;
    if (!this.#paused && this.#events.length >= MOST_UNREAD) this.#pause(true);
  }

  #pause(paused: boolean): void {
    this.#paused = paused;
    this.#host.pause(this.#job.id, paused);
  }
}

/** Two events as one, where the second only goes on with the first one's text; null otherwise. */
function joinTexts(first: GenerateEvent, second: GenerateEvent): GenerateEvent | null {
  if (first.type === 'tool-call-delta' && second.type === 'tool-call-delta') {
    return first.index === second.index ? { ...first, text: first.text + second.text } : null;
  }
  const areText =
    (first.type === 'analysis' && second.type === 'analysis') ||
    (first.type === 'content' && second.type === 'content');
  if (!areText || first.message !== second.message) return null;
  // Log-probabilities stay with their own piece: copying them again for every token would be quadratic.
  if (first.logprobs !== undefined || second.logprobs !== undefined) return null;
  return { ...first, text: first.text + second.text };
}

const perSecond = (tokens: number, milliseconds: number): number =>
  tokens > 0 && milliseconds > 0 ? (tokens * 1000) / milliseconds : 0;

function describeTimings({ queue, prefill, decode }: JobTimings, computedTokens: number, generated: number): Timings {
  return {
    queue,
    prefill,
    decode,
    timeToFirstToken: queue + prefill,
    total: queue + prefill + decode,
    prefillTokensPerSecond: perSecond(computedTokens, prefill),
    decodeTokensPerSecond: perSecond(generated - 1, decode),
  };
}
