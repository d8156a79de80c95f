/**
 * The thread that compiles and follows grammars, so that neither stops the model.
 */

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { openSnapshot } from '@switchyard/models';
import { InvalidRequestError } from '../../errors.ts';
import { serializeError } from '../../serialized-error.ts';
import type { FromGrammars, GrammarAnswer, GrammarCall, GrammarThreadData, ToGrammars } from './grammar-protocol.ts';
import { type JsonBody, JsonGrammars } from './json-grammar.ts';

async function loadGrammars({ path }: GrammarThreadData): Promise<JsonGrammars> {
  const snapshot = await openSnapshot(path, { encoder: 'when-needed' });
  try {
    return await JsonGrammars.create(snapshot.tokenizer);
  } finally {
    snapshot.dispose();
  }
}

class GrammarWorker {
  readonly #port: MessagePort;
  readonly #grammars: JsonGrammars;
  readonly #bodies = new Map<number, JsonBody>();
  /** Calls are worked on one after the other: each begins when the one before has its answer. */
  #last: Promise<void> = Promise.resolve();

  constructor(port: MessagePort, grammars: JsonGrammars) {
    this.#port = port;
    this.#grammars = grammars;
  }

  receive(message: ToGrammars): void {
    this.#last = this.#last.then(() => (message.type === 'call' ? this.#work(message) : this.#release(message.body)));
  }

  async #work({ id, call }: ToGrammars & { type: 'call' }): Promise<void> {
    this.#post({ type: 'begun', id });
    let answer: GrammarAnswer;
    try {
      answer = await this.#answer(call);
    } catch (error) {
      answer =
        error instanceof InvalidRequestError
          ? { type: 'refused', reason: error.found }
          : { type: 'failed', error: serializeError(error) };
    }
    this.#post({ type: 'answer', id, answer });
  }

  async #answer(call: GrammarCall): Promise<GrammarAnswer> {
    if (call.type === 'compile') {
      await this.#grammars.compile('schema', call.schema);
      return { type: 'compiled' };
    }
    if (call.type === 'start') {
      this.#release(call.body);
      const body = await this.#grammars.start(call.schema);
      this.#bodies.set(call.body, body);
      for (const token of call.tokens) if (!(await body.accept(token))) return { type: 'outside' };
      return { type: 'mask', ...(await body.next()) };
    }
    const body = this.#bodies.get(call.body);
    if (body === undefined || !(await body.accept(call.token))) return { type: 'outside' };
    return { type: 'mask', ...(await body.next()) };
  }

  #release(id: number): void {
    this.#bodies.get(id)?.[Symbol.dispose]();
    this.#bodies.delete(id);
  }

  #post(message: FromGrammars): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#port.postMessage(message);
  }
}

if (parentPort !== null) {
  const worker = new GrammarWorker(parentPort, await loadGrammars(workerData as GrammarThreadData));
  parentPort.on('message', (message: ToGrammars) => worker.receive(message));
}
