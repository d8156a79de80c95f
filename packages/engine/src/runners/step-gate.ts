import { DisposedError } from '../errors.ts';
import { RunnerBusyError } from './errors.ts';
import type { LogitsRunner } from './logits-runner.ts';

/** One step at a time, and nothing after the end: what a runner of logits refuses, and how long its steps took. */
export class StepGate {
  #steps = 0;
  #total = 0;
  #isBusy = false;
  #isClosed = false;

  /**
   * @param call what is about to be done, for the message.
   * @throws DisposedError, RunnerBusyError
   */
  assertIdle(call: string): void {
    if (this.#isClosed) throw new DisposedError();
    if (this.#isBusy) throw new RunnerBusyError(call);
  }

  /** Computes a step, and counts it whether it fails or not. Nothing else is under way. */
  async run<Result>(step: () => Promise<Result>): Promise<Result> {
    this.#isBusy = true;
    const started = performance.now();
    try {
      return await step();
    } finally {
      this.#isBusy = false;
      this.#steps++;
      this.#total += performance.now() - started;
    }
  }

  /**
   * Lets nothing pass from now on. False where it was closed before.
   *
   * @throws RunnerBusyError
   */
  close(): boolean {
    if (this.#isClosed) return false;
    this.assertIdle('dispose');
    this.#isClosed = true;
    return true;
  }

  /** Where the steps' time went, of which these milliseconds are known. */
  timings({ compute, experts, router }: Readonly<Record<'compute' | 'experts' | 'router', number>>) {
    const overhead = Math.max(0, this.#total - compute - experts - router);
    return { steps: this.#steps, compute, experts, router, overhead } satisfies LogitsRunner['timings'];
  }
}
