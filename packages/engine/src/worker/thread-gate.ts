/**
 * When a worker's thread may be ended: the bindings of koffi and ONNX Runtime end the whole process (SIGABRT) where their thread
 * is ended while they are loaded or called, by `worker.terminate()` or by `process.exit()`.
 */

/** Words of the shared memory: whether the thread is at work, whether it should stop, and whether its modules are loaded. */
const STATE = 0;
const STOP = 1;
const STARTED = 2;
const WORDS = 3;
const IDLE = 0;
const BUSY = 1;

/** Shared by the thread and its owner. */
export class ThreadGate {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;

  /** @param shared The owner's `shared`, where this is the thread's side. */
  constructor(shared = new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
  }

  /** The thread begins work that must not be cut off; false where it should not begin. */
  enter(): boolean {
    Atomics.store(this.#words, STATE, BUSY);
    Atomics.store(this.#words, STARTED, 1);
    if (!this.stopping) return true;
    this.leave();
    return false;
  }

  /** The thread has done its work. */
  leave(): void {
    Atomics.store(this.#words, STATE, IDLE);
    Atomics.notify(this.#words, STATE);
  }

  /** Whether the owner wants the thread to stop. */
  get stopping(): boolean {
    return Atomics.load(this.#words, STOP) === 1;
  }

  /** From now on the thread begins nothing. */
  stop(): void {
    Atomics.store(this.#words, STOP, 1);
  }

  /** Whether the thread has nothing to do. One that has not begun yet has: it loads bindings. */
  get idle(): boolean {
    return Atomics.load(this.#words, STARTED) === 1 && Atomics.load(this.#words, STATE) === IDLE;
  }

  /** Blocks the owner's thread until the other is idle, at most this long. */
  waitUntilIdle(milliseconds: number): void {
    Atomics.wait(this.#words, STATE, BUSY, milliseconds);
  }
}

/** The most that anyone waits for a step of a thread that is to end, in milliseconds. */
export const LONGEST_STEP_MS = 30_000;

const guarded = new Set<ThreadGate>();

const letThemEnd = (): void => {
  for (const gate of guarded) gate.stop();
  for (const gate of guarded) gate.waitUntilIdle(LONGEST_STEP_MS);
};

/** Until the returned function is called, a process that exits waits for the gate's thread to come out of its step. */
export function guardExit(gate: ThreadGate): () => void {
  if (guarded.size === 0) process.on('exit', letThemEnd);
  guarded.add(gate);
  return () => {
    guarded.delete(gate);
    if (guarded.size === 0) process.off('exit', letThemEnd);
  };
}
