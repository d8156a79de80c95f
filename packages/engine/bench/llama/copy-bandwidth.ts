/** The bandwidth of the memory, as copies by several threads have it. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** Of each thread: far beyond any cache. */
const BYTES = 256 * 2 ** 20;
const COPIES = 4;

/** Threads that copy, each memory of its own, while they are asked to. */
export class CopyThreads implements AsyncDisposable {
  readonly #workers: readonly Worker[];

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  static async start(threads: number): Promise<CopyThreads> {
    const workers = Array.from(
      { length: threads },
      () => new Worker(new URL('./copy-worker.mjs', import.meta.url), { workerData: { bytes: BYTES, copies: COPIES } }),
    );
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    return new CopyThreads(workers);
  }

  /** Bytes a second, in GB: what is read and what is written, together. */
  async gigabytesPerSecond(): Promise<number> {
    const started = performance.now();
    await Promise.all(
      this.#workers.map((worker) => {
        const done = once(worker, 'message');
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
        worker.postMessage('copy');
        return done;
      }),
    );
    return (2 * BYTES * COPIES * this.#workers.length) / (performance.now() - started) / 1e6;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
