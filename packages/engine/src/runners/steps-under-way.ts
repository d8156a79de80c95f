import { DisposedError } from '../errors.ts';
import { RunnerBusyError } from './errors.ts';
import type { LogitsRunner } from './logits-runner.ts';

/** One of them. */
export interface StepUnderWay {
  /** Resolves when the steps that began before it have ended. */
  readonly before: Promise<unknown>;
  readonly end: () => void;
}

/** Several steps at a time, and nothing after the end: what a runner that starts steps refuses, and how long they took. */
export class StepsUnderWay {
  readonly #most: number;
  readonly #busy = new Map<number, number>();
  /** Resolves when all steps so far have ended. */
  #allEnded: Promise<unknown> = Promise.resolve();
  #underWay = 0;
  #steps = 0;
  #total = 0;
  #since = 0;
  #isClosed = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** @throws DisposedError */
  assertOpen(): void {
    if (this.#isClosed) throw new DisposedError();
  }

  /** @throws DisposedError, RunnerBusyError where a step under way has the sequence */
  assertIdle(sequence: number, call: string): void {
    this.assertOpen();
    if (this.#busy.has(sequence)) throw new RunnerBusyError(call);
  }

  /**
   * Counts a step as under way, until `end` is called: once, whether it ended well or not.
   *
   * @param call what is about to be done, for the message.
   * @throws DisposedError, RunnerBusyError
   */
  begin(sequences: readonly number[], call: string): StepUnderWay {
    this.assertOpen();
    if (this.#underWay === this.#most) throw new RunnerBusyError(call);
    if (this.#underWay++ === 0) this.#since = performance.now();
    for (const sequence of sequences) this.#busy.set(sequence, (this.#busy.get(sequence) ?? 0) + 1);
    const before = this.#allEnded;
    let settle = (): void => {};
    const ended = new Promise<void>((resolve) => {
      settle = resolve;
    });
    this.#allEnded = before.then(() => ended);
    const end = (): void => {
      this.#end(sequences);
      settle();
    };
    return { before, end };
  }

  /**
   * Lets nothing pass from now on. False where it was closed before.
   *
   * @throws RunnerBusyError
   */
  close(): boolean {
    if (this.#isClosed) return false;
    if (this.#underWay > 0) throw new RunnerBusyError('dispose');
    this.#isClosed = true;
    return true;
  }

  /** Where the steps' time went, of which these milliseconds are known. */
  timings({ compute, experts, router }: Readonly<Record<'compute' | 'experts' | 'router', number>>) {
    const overhead = Math.max(0, this.#total - compute - experts - router);
    return { steps: this.#steps, compute, experts, router, overhead } satisfies LogitsRunner['timings'];
  }

  #end(sequences: readonly number[]): void {
    this.#steps++;
    if (--this.#underWay === 0) this.#total += performance.now() - this.#since;
    for (const sequence of sequences) {
      const left = (this.#busy.get(sequence) ?? 0) - 1;
      if (left > 0) this.#busy.set(sequence, left);
      else this.#busy.delete(sequence);
    }
  }
}
