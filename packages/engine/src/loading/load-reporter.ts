/**
 * Tells callers and logs how far a load is.
 */

import type { Logger } from '../logger.ts';
import type { LoadProgress } from '../options.ts';
import type { LoadingStep } from '../runners/load-plan.ts';

/** Opening the checkpoint is this share of the load. */
const CHECKPOINT_SHARE = 0.1;
const MS_PER_SECOND = 1000;
/** Milliseconds from a line of the log to the next. */
const LOG_INTERVAL_MS = 5000;

/** Times are told to the millisecond. */
const inSeconds = (milliseconds: number): number => Math.round(milliseconds) / MS_PER_SECOND;

/** One load's progress: every step goes to the listener, one in about five seconds to the log. */
export class LoadReporter implements Disposable {
  readonly #started = performance.now();
  readonly #onProgress: ((progress: LoadProgress) => void) | undefined;
  readonly #timer: NodeJS.Timeout;
  #step: LoadingStep = { what: 'checkpoint', doneBytes: 0, totalBytes: 0, readMs: 0, convertMs: 0, sessionMs: 0 };

  constructor(onProgress: ((progress: LoadProgress) => void) | undefined, logger: Required<Logger>) {
    this.#onProgress = onProgress;
    this.#timer = setInterval(() => logger.info('loading', this.facts), LOG_INTERVAL_MS).unref();
  }

  /** What the log says of the load. */
  get facts(): Readonly<Record<string, unknown>> {
    const { what, doneBytes, totalBytes, seconds, readSeconds, convertSeconds, sessionSeconds } = this.#progress(
      'model',
      0,
    );
    return { what, doneBytes, totalBytes, seconds, readSeconds, convertSeconds, sessionSeconds };
  }

  /** The checkpoint is being opened. */
  opening(): void {
    this.#tell('checkpoint', 0);
  }

  /** The checkpoint is open. */
  opened(totalBytes: number): void {
    this.loading({ ...this.#step, what: 'model', totalBytes });
  }

  /** The device that the model would be loaded into is being checked. */
  checking(what: string): void {
    this.loading({ ...this.#step, what });
  }

  /** The runner has come this far. */
  loading(step: LoadingStep): void {
    this.#step = step;
    const done = step.totalBytes > 0 ? Math.min(1, step.doneBytes / step.totalBytes) : 0;
    this.#tell('model', CHECKPOINT_SHARE + (1 - CHECKPOINT_SHARE) * done);
  }

  ready(): void {
    const { totalBytes } = this.#step;
    this.#step = { ...this.#step, what: 'ready', doneBytes: totalBytes };
    this.#tell('ready', 1);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #tell(phase: LoadProgress['phase'], fraction: number): void {
    this.#onProgress?.(this.#progress(phase, fraction));
  }

  #progress(phase: LoadProgress['phase'], fraction: number): LoadProgress {
    const { what, doneBytes, totalBytes, readMs, convertMs, sessionMs } = this.#step;
    return {
      phase,
      fraction,
      what,
      doneBytes,
      totalBytes,
      seconds: inSeconds(performance.now() - this.#started),
      readSeconds: inSeconds(readMs),
      convertSeconds: inSeconds(convertMs),
      sessionSeconds: inSeconds(sessionMs),
    };
  }
}
