/**
 * JSON grammars in a thread of their own: compiling schemas and finding masks takes time, and the model's thread must
 * not wait.
 */

import { Worker } from 'node:worker_threads';
import { DisposedError, ForwardError, InvalidRequestError } from '../../errors.ts';
import { deserializeError } from '../../serialized-error.ts';
import type { FromGrammars, GrammarAnswer, GrammarCall, GrammarThreadData, ToGrammars } from './grammar-protocol.ts';
import { ADVICE, type BodyMask, type JsonBody, type JsonBodySource } from './json-grammar.ts';
import { LeastRecentMap } from '../least-recent-map.ts';

/** What one schema may take to compile, in milliseconds. Other constrained answers wait that long at most. */
const COMPILE_BUDGET_MS = 5000;
/** Schemas remembered for having been given up. */
const KEPT_REFUSALS = 64;
/** A thread that is lost this often under one call is not started again for it. */
const MOST_ATTEMPTS = 3;

const RUNS_FROM_SOURCE = import.meta.url.endsWith('.ts');
const WORKER_URL = new URL(
  RUNS_FROM_SOURCE ? './grammar-worker-from-source.mjs' : './grammar-worker.js',
  import.meta.url,
);

/** The thread ended before it answered. */
const LOST = Symbol('lost');
type Outcome = GrammarAnswer | typeof LOST;

/**
 * Compiles schemas and starts bodies. The thread starts with the first call; one that takes longer than the budget is
 * ended with the thread, and everything else goes on in another.
 */
export class GrammarThread implements JsonBodySource, Disposable {
  readonly #data: GrammarThreadData;
  readonly #budgetMs: number;
  readonly #workerUrl: URL;
  readonly #refusals = new LeastRecentMap<string>(KEPT_REFUSALS);
  readonly #calls = new Map<number, { readonly call: GrammarCall; readonly settle: (outcome: Outcome) => void }>();
  #worker: Worker | null = null;
  /** The call that the thread is at, and its time. */
  #begun: number | null = null;
  #budget: NodeJS.Timeout | null = null;
  #nextId = 0;
  #disposed = false;

  /**
   * @param path The checkpoint's folder.
   * @param workerUrl The thread's module.
   */
  constructor(path: string, budgetMs = COMPILE_BUDGET_MS, workerUrl = WORKER_URL) {
    this.#data = { path };
    this.#budgetMs = budgetMs;
    this.#workerUrl = workerUrl;
  }

  /**
   * Compiles a schema ahead of `start`.
   *
   * @param field Where the request has the schema, for the error.
   * @param schema JSON text of a schema, or null for any JSON object.
   * @throws InvalidRequestError where the schema cannot be enforced whole or takes too long.
   */
  async compile(field: string, schema: string | null): Promise<void> {
    const known = schema === null ? undefined : this.#refusals.get(schema);
    const answer: GrammarAnswer =
      known === undefined ? await this.#ask(() => ({ type: 'compile', schema })) : { type: 'refused', reason: known };
    if (answer.type === 'refused') throw new InvalidRequestError(field, answer.reason, ADVICE);
  }

  async start(schema: string | null): Promise<JsonBody> {
    const body = new RemoteBody(this.#nextId++, schema, {
      ask: (call) => this.#ask(call),
      release: (id) => this.#release(id),
      thread: () => this.#worker,
    });
    await body.open();
    return body;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#lose(LOST);
  }

  /** Asks again where the thread was lost under the call. @param call Made anew for every attempt. */
  async #ask(call: () => GrammarCall): Promise<GrammarAnswer> {
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
      if (this.#disposed) throw new DisposedError();
      const outcome = await this.#send(call());
      if (outcome === LOST) continue;
      if (outcome.type === 'failed') throw deserializeError(outcome.error);
      return outcome;
    }
    if (this.#disposed) throw new DisposedError();
    throw new ForwardError("the grammars' thread ended under every attempt");
  }

  #send(call: GrammarCall): Promise<Outcome> {
    const worker = (this.#worker ??= this.#startThread());
    const id = this.#nextId++;
    return new Promise((settle) => {
      this.#calls.set(id, { call, settle });
      post(worker, { type: 'call', id, call });
    });
  }

  #release(body: number): void {
    if (this.#worker !== null) post(this.#worker, { type: 'release', body });
  }

  #startThread(): Worker {
    const worker = new Worker(this.#workerUrl, { workerData: this.#data, name: 'switchyard-grammars' });
    // The model's thread ends when the engine says so, whatever this one does.
    worker.unref();
    worker.on('message', (message: FromGrammars) => this.#receive(message));
    const ended = (): void => {
      if (worker === this.#worker)
        this.#lose({ type: 'refused', reason: 'a schema that the thread of grammars failed on' });
    };
    worker.on('error', ended);
    worker.on('exit', ended);
    return worker;
  }

  #receive(message: FromGrammars): void {
    const pending = this.#calls.get(message.id);
    if (pending === undefined) return;
    if (message.type === 'begun') {
      this.#begun = message.id;
      this.#budget = setTimeout(() => {
        const seconds = this.#budgetMs / 1000;
        this.#lose({ type: 'refused', reason: `a schema that takes more than ${seconds} s to compile` });
      }, this.#budgetMs);
      return;
    }
    this.#stopBudget();
    this.#calls.delete(message.id);
    pending.settle(message.answer);
  }

  #stopBudget(): void {
    if (this.#budget !== null) clearTimeout(this.#budget);
    this.#budget = null;
    this.#begun = null;
  }

  /** Ends the thread. @param answer For the call that it was at; the others are made again. */
  #lose(answer: Outcome): void {
    const worker = this.#worker;
    const culprit = this.#begun;
    const calls = [...this.#calls];
    this.#worker = null;
    this.#stopBudget();
    this.#calls.clear();
    void worker?.terminate();
    for (const [id, { call, settle }] of calls) {
      const guilty = id === culprit && answer !== LOST && call.type !== 'accept';
      if (guilty && call.schema !== null && answer.type === 'refused') this.#refusals.set(call.schema, answer.reason);
      settle(guilty ? answer : LOST);
    }
  }
}

function post(worker: Worker, message: ToGrammars): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  worker.postMessage(message);
}

interface BodyHost {
  ask(call: () => GrammarCall): Promise<GrammarAnswer>;
  release(body: number): void;
  /** The thread that runs now. */
  thread(): Worker | null;
}

/** A body in the other thread. */
class RemoteBody implements JsonBody {
  readonly #id: number;
  readonly #schema: string | null;
  readonly #host: BodyHost;
  readonly #tokens: number[] = [];
  /** The thread that knows this body. */
  #home: Worker | null = null;
  #next: BodyMask | null = null;

  constructor(id: number, schema: string | null, host: BodyHost) {
    this.#id = id;
    this.#schema = schema;
    this.#host = host;
  }

  /** Starts the body in the thread. */
  async open(): Promise<void> {
    if (!(await this.#take(() => this.#startCall()))) throw new ForwardError('a body that cannot start');
  }

  next(): Promise<BodyMask> {
    return this.#next === null
      ? Promise.reject(new ForwardError('a body without a mask'))
      : Promise.resolve(this.#next);
  }

  async accept(token: number): Promise<boolean> {
    this.#tokens.push(token);
    const taken = await this.#take(() => {
      // Another thread has to hear of all tokens.
      if (this.#home === null || this.#home !== this.#host.thread()) return this.#startCall();
      return { type: 'accept', body: this.#id, token };
    });
    if (!taken) this.#tokens.pop();
    return taken;
  }

  [Symbol.dispose](): void {
    this.#host.release(this.#id);
  }

  #startCall(): GrammarCall {
    return { type: 'start', body: this.#id, schema: this.#schema, tokens: [...this.#tokens] };
  }

  async #take(call: () => GrammarCall): Promise<boolean> {
    const answer = await this.#host.ask(call);
    this.#home = this.#host.thread();
    if (answer.type === 'refused') throw new ForwardError(answer.reason);
    if (answer.type !== 'mask') return false;
    this.#next = { mask: answer.mask, endAllowed: answer.endAllowed };
    return true;
  }
}
