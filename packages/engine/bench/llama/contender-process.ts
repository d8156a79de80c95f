/** An engine or node-llama-cpp with a model, in a process of its own that waits while others are timed. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What is timed. Prompts are ordinary token ids, others for each sequence. */
export type ContenderTask =
  /** Rate at which tokens follow a prompt of 16, of all sequences together. */
  | { readonly kind: 'decode'; readonly tokens: number; readonly sequences: number }
  /** The same where no token is asked for, only that the model takes one after the other: node-llama-cpp alone does that. */
  | { readonly kind: 'evaluate'; readonly tokens: number }
  /** Rate at which a prompt is read, its first answer token included where the library makes one. */
  | { readonly kind: 'prefill'; readonly tokens: number };

export type ContenderRequest =
  /** The greedy answer to a prompt. */
  | { readonly type: 'answer'; readonly ids: readonly number[]; readonly tokens: number }
  /** Tokens per second. */
  | { readonly type: 'rate'; readonly task: ContenderTask }
  /** f32 [vocabulary]: the logits after a prompt. Of node-llama-cpp alone. */
  | { readonly type: 'logits'; readonly ids: readonly number[] }
  /** Megabytes that the process holds: resident, and of it anonymous. */
  | { readonly type: 'memory' };

export interface ContenderMemory {
  readonly resident: number;
  readonly anonymous: number;
}

/** What a process says: that its model is loaded, then an answer to each request. */
export type ContenderMessage =
  | { readonly type: 'loaded'; readonly milliseconds: number }
  | { readonly type: 'answer'; readonly ids: readonly number[] }
  | { readonly type: 'rate'; readonly tokensPerSecond: number }
  | { readonly type: 'logits'; readonly logits: Float32Array }
  | ({ readonly type: 'memory' } & ContenderMemory);

type MessageOf<Type extends ContenderMessage['type']> = Extract<ContenderMessage, { readonly type: Type }>;

const programUrl = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** One request at a time. */
export class ContenderProcess implements AsyncDisposable {
  /** From the start of loading to a model that answers, without the start of Node.js. */
  readonly loadMilliseconds: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, loadMilliseconds: number) {
    this.#child = child;
    this.loadMilliseconds = loadMilliseconds;
  }

  /** The built engine of this checkout. */
  static startEngine(model: string): Promise<ContenderProcess> {
    return ContenderProcess.#start('./engine-program.mjs', [model]);
  }

  /** @param library URL of node-llama-cpp's entry; @param model a GGUF file; @param context tokens of a sequence. */
  static startLlama(library: URL, model: string, context: number, sequences: number): Promise<ContenderProcess> {
    return ContenderProcess.#start('./llama-program.mjs', [library.href, model, String(context), String(sequences)]);
  }

  static async #start(program: string, options: readonly string[]): Promise<ContenderProcess> {
    const child = fork(programUrl(program), options, { execArgv: [], serialization: 'advanced' });
    const message = await nextMessage(child);
    if (message.type !== 'loaded') throw new Error(`${program} began with '${message.type}'`);
    return new ContenderProcess(child, message.milliseconds);
  }

  async answer(ids: readonly number[], tokens: number): Promise<readonly number[]> {
    return (await this.#ask('answer', { type: 'answer', ids, tokens })).ids;
  }

  async rate(task: ContenderTask): Promise<number> {
    return (await this.#ask('rate', { type: 'rate', task })).tokensPerSecond;
  }

  async logits(ids: readonly number[]): Promise<Float32Array> {
    return (await this.#ask('logits', { type: 'logits', ids })).logits;
  }

  async memory(): Promise<ContenderMemory> {
    return this.#ask('memory', { type: 'memory' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  async #ask<Type extends ContenderMessage['type']>(type: Type, request: ContenderRequest): Promise<MessageOf<Type>> {
    const answer = nextMessage(this.#child);
    this.#child.send(request);
    const message = await answer;
    if (message.type !== type) throw new Error(`A contender answered ${type} with '${message.type}'`);
    return message as MessageOf<Type>;
  }
}

async function nextMessage(child: ChildProcess): Promise<ContenderMessage> {
  const ended = new AbortController();
  const exit = once(child, 'exit', { signal: ended.signal }).then(
    ([code]) => Promise.reject(new Error(`The process of a contender ended with exit code ${code}`)),
    () => new Promise<never>(() => {}),
  );
  try {
    const [message] = (await Promise.race([once(child, 'message'), exit])) as [ContenderMessage];
    return message;
  } finally {
    ended.abort();
  }
}
