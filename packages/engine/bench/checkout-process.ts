/** The engine of a checkout, built, in a process of its own: answers and rates of the embedded model. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What is timed. */
export type CheckoutTask =
  | { readonly kind: 'decode'; readonly sequences: number; readonly tokens: number }
  | { readonly kind: 'prefill'; readonly tokens: number };

/** What a checkout's process is asked. */
export type CheckoutRequest =
  | { readonly type: 'answer'; readonly ids: readonly number[]; readonly tokens: number }
  | { readonly type: 'measure'; readonly task: CheckoutTask };

/** What it says: first that the model is loaded, then an answer to each request. */
export type CheckoutMessage =
  | { readonly type: 'loaded'; readonly milliseconds: number }
  | { readonly type: 'answer'; readonly ids: readonly number[] }
  | { readonly type: 'rate'; readonly tokensPerSecond: number };

const PROGRAM = fileURLToPath(new URL('./checkout-program.mjs', import.meta.url));

/** One request at a time. */
export class CheckoutProcess implements AsyncDisposable {
  /** Of `Engine.load`, without the start of Node.js. */
  readonly loadMilliseconds: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, loadMilliseconds: number) {
    this.#child = child;
    this.loadMilliseconds = loadMilliseconds;
  }

  static async start(folder: string): Promise<CheckoutProcess> {
    const child = fork(PROGRAM, [folder], { execArgv: [] });
    const message = await nextMessage(child);
    if (message.type !== 'loaded') throw new Error(`The process of ${folder} began with '${message.type}'`);
    return new CheckoutProcess(child, message.milliseconds);
  }

  /** The greedy answer to a prompt. */
  async answer(ids: readonly number[], tokens: number): Promise<readonly number[]> {
    const message = await this.#ask({ type: 'answer', ids, tokens });
    return message.type === 'answer' ? message.ids : [];
  }

  /** Tokens per second, all sequences together. */
  async measure(task: CheckoutTask): Promise<number> {
    const message = await this.#ask({ type: 'measure', task });
    return message.type === 'rate' ? message.tokensPerSecond : Number.NaN;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill();
    await exited;
  }

  #ask(request: CheckoutRequest): Promise<CheckoutMessage> {
    const answer = nextMessage(this.#child);
    this.#child.send(request);
    return answer;
  }
}

async function nextMessage(child: ChildProcess): Promise<CheckoutMessage> {
  const ended = new AbortController();
  const exit = once(child, 'exit', { signal: ended.signal }).then(
    ([code]) => Promise.reject(new Error(`The process of a checkout ended with exit code ${code}`)),
    () => new Promise<never>(() => {}),
  );
  try {
    const [message] = (await Promise.race([once(child, 'message'), exit])) as [CheckoutMessage];
    return message;
  } finally {
    ended.abort();
  }
}
