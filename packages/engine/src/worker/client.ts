/**
 * The engine's side of the worker: starts it, hands jobs over, and brings reports back to whoever asked.
 */

import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { contain, reasonOf } from '../contain.ts';
import {
  AbortedError,
  DeliveryError,
  DisposedError,
  type EngineError,
  ForwardError,
  InvalidLogitsError,
  InvalidRequestError,
  LoadError,
  QueueFullError,
  WorkerCrashedError,
} from '../errors.ts';
import { containedCallback, containedLogger, type Logger } from '../logger.ts';
import type { LoadingStep } from '../runners/load-plan.ts';
import type { LayerRouting } from '../runners/runner.ts';
import type { Job, JobListener } from '../scheduler/job.ts';
import type { FromWorker, JobFailure, ModelInfo, StepMessage, ToWorker, WorkerData, WorkerReport } from './protocol.ts';
import { deserializeError } from '../serialized-error.ts';
import { guardExit, LONGEST_STEP_MS, ThreadGate } from './thread-gate.ts';
import { eachToken } from './token-list.ts';

/** How to start a worker. */
export interface StartOptions {
  readonly data: Omit<WorkerData, 'gate'>;
  readonly logger: Logger;
  readonly onProgress: (step: LoadingStep) => void;
  readonly signal: AbortSignal | undefined;
}

const RUNS_FROM_SOURCE = import.meta.url.endsWith('.ts');
const WORKER_URL = new URL(RUNS_FROM_SOURCE ? './from-source.mjs' : './model-worker.js', import.meta.url);

/** What a thread that is idle, or no runner of ours, may take to end by itself, in milliseconds. */
const SHORT_WAIT_MS = 1000;
const POLL_MS = 5;

/** Resolves when the thread has ended by itself, or has been ended where it could be. */
async function ended(worker: Worker, gate: ThreadGate, longest: number): Promise<void> {
  const start = performance.now();
  // An exited worker has no thread id.
  while (worker.threadId !== -1) {
    const waited = performance.now() - start;
    if (waited > longest || (waited > SHORT_WAIT_MS && gate.idle)) {
      await worker.terminate();
      return;
    }
    await delay(POLL_MS);
  }
}

function startThread(workerData: WorkerData): Worker {
  try {
    return new Worker(WORKER_URL, { workerData, name: 'switchyard-model' });
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new LoadError(
      `The model's worker cannot be started · found ${reason} · runnerOptions must survive a structured clone, and the system must have a thread left`,
      'WORKER_NOT_STARTED',
      cause,
    );
  }
}

/** A running model worker. */
export class WorkerClient {
  readonly info: ModelInfo;
  /** Settles when the worker is gone: null after `dispose`, the error otherwise. Never rejects. */
  readonly closed: Promise<EngineError | null>;
  readonly #worker: Worker;
  readonly #logger: Required<Logger>;
  readonly #listeners = new Map<number, JobListener>();
  readonly #reports = new Map<number, { resolve: (report: WorkerReport) => void; reject: (error: Error) => void }>();
  #routingListener: ((routing: LayerRouting) => void) | null = null;
  #nextCall = 0;
  #disposing = false;
  #crash: EngineError | null = null;

  private constructor(worker: Worker, info: ModelInfo, logger: Logger) {
    this.info = info;
    this.#worker = worker;
    this.#logger = containedLogger(logger);
    let cause: unknown;
    worker.on('message', (message: FromWorker) => this.#receive(message));
    worker.on('error', (error) => {
      cause = error;
    });
    this.closed = new Promise((resolve) => {
      worker.once('exit', (exitCode) => {
        this.#crash = this.#disposing
          ? null
          : new WorkerCrashedError(cause instanceof Error ? cause.message : `exit code ${exitCode}`, exitCode, cause);
        this.#failAll(this.#crash ?? new DisposedError());
        resolve(this.#crash);
      });
    });
  }

  /**
   * Starts the thread and waits until the model is loaded. Throws LoadError, AbortedError or WorkerCrashedError, and what
   * `onProgress` throws: at once, while the thread ends by itself.
   */
  static async start({ data, logger, onProgress, signal }: StartOptions): Promise<WorkerClient> {
    if (signal?.aborted === true) throw new AbortedError('Loading', signal.reason);
    const gate = new ThreadGate();
    const workerData: WorkerData = { ...data, gate: gate.shared };
    const worker = startThread(workerData);
    worker.once('exit', guardExit(gate));
    const stop = new AbortController();
    const until = { signal: stop.signal };
    try {
      const info = await new Promise<ModelInfo>((resolve, reject) => {
        // Taken off by hand: a signal of another realm takes no signal of this one among its listener's options.
        const abort = (): void => reject(new AbortedError('Loading', signal?.reason));
        signal?.addEventListener('abort', abort);
        stop.signal.addEventListener('abort', () => signal?.removeEventListener('abort', abort));
        once(worker, 'exit', until).then(
          ([code]) => reject(new WorkerCrashedError(`exit code ${String(code)} during loading`, Number(code))),
          (error: unknown) => {
            if (!stop.signal.aborted) reject(new WorkerCrashedError(String(error), null, error));
          },
        );
        const receive = (message: FromWorker): void => {
          try {
            if (message.type === 'progress') onProgress(message.step);
            else if (message.type === 'log') logger[message.level]?.(message.message, message.fields);
          } catch (error) {
            reject(error);
          }
          if (message.type === 'ready') resolve(message.info);
          else if (message.type === 'load-failed') {
            const cause = deserializeError(message.error);
            reject(new LoadError(cause.message, message.error.code ?? 'LOAD_FAILED', cause));
          }
        };
        worker.on('message', receive);
        stop.signal.addEventListener('abort', () => worker.off('message', receive));
      });
      return new WorkerClient(worker, info, logger);
    } catch (error) {
      gate.stop();
      // An error of a thread that nobody listens to any more would be one of the process.
      worker.on('error', (late) =>
        logger.debug?.('the worker failed after its load was given up', { reason: String(late) }),
      );
      void ended(worker, gate, 'name' in data.runner ? LONGEST_STEP_MS : SHORT_WAIT_MS);
      throw error;
    } finally {
      stop.abort();
    }
  }

  /** Hands a job over. Its listener hears of it until it is finished, scored or failed, or until `cancel`. */
  submit(job: Job, listener: JobListener): void {
    if (this.#disposing) throw new DisposedError();
    if (this.#crash !== null) throw this.#crash;
    this.#send({ type: 'submit', job });
    this.#listeners.set(job.id, listener);
  }

  /** Ends a job at the next step. Its listener hears nothing more. */
  cancel(id: number): void {
    if (!this.#listeners.delete(id) || this.#disposing || this.#crash !== null) return;
    this.#send({ type: 'cancel', id });
  }

  /** Stops computing a job, or goes on with it, from the next step on. */
  pause(id: number, paused: boolean): void {
    if (!this.#listeners.has(id) || this.#disposing || this.#crash !== null) return;
    this.#send({ type: 'pause', id, paused });
  }

  /** Hears what the routers choose, all requests together; null for nobody. What it throws first is logged. */
  watchRouting(listener: ((routing: LayerRouting) => void) | null): void {
    this.#routingListener = listener === null ? null : containedCallback('onRouting', listener, this.#logger);
    if (!this.#disposing && this.#crash === null) this.#send({ type: 'watch-routing', on: listener !== null });
  }

  /** The worker's counters. Waits for the step in progress. */
  async report(): Promise<WorkerReport> {
    if (this.#disposing) throw new DisposedError();
    if (this.#crash !== null) throw this.#crash;
    const call = this.#nextCall++;
    return new Promise((resolve, reject) => {
      this.#reports.set(call, { resolve, reject });
      this.#send({ type: 'report', call });
    });
  }

  /**
   * Fails open jobs with DisposedError, frees the model and ends the thread, which may finish its step.
   *
   * @param longestStepMs What it may take for that: then the thread is ended as it is.
   */
  async dispose(longestStepMs = LONGEST_STEP_MS): Promise<void> {
    if (!this.#disposing) {
      this.#disposing = true;
      this.#failAll(new DisposedError());
      this.#send({ type: 'dispose' });
    }
    const hangs = setTimeout(() => void this.#worker.terminate(), longestStepMs);
    await this.closed;
    clearTimeout(hangs);
  }

  #send(message: ToWorker): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#worker.postMessage(message);
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'step':
        this.#deliver(message);
        return;
      case 'queued':
        this.#tell(message.id, this.#listeners.get(message.id), (listener) => listener.queued());
        return;
      case 'report':
        this.#reports.get(message.call)?.resolve(message.report);
        this.#reports.delete(message.call);
        return;
      case 'routed':
        for (const routing of message.layers) this.#routingListener?.(routing);
        return;
      case 'log':
        this.#logger[message.level](message.message, message.fields);
        return;
    }
  }

  #deliver(step: StepMessage): void {
    const open = (id: number): JobListener | undefined => this.#listeners.get(id);
    for (const report of step.routing) this.#tell(report.id, open(report.id), (listener) => listener.routing(report));
    eachToken(step.tokens, (report) => this.#tell(report.id, open(report.id), (listener) => listener.token(report)));
    for (const report of step.finished) {
      this.#tell(report.id, this.#takeListener(report.id), (listener) => listener.finished(report));
    }
    for (const report of step.scored) {
      this.#tell(report.id, this.#takeListener(report.id), (listener) => listener.scored(report));
    }
    for (const { id, failure } of step.failed) {
      this.#tell(id, this.#takeListener(id), (listener) => listener.failed(errorOf(failure)));
    }
  }

  /** The border: what a listener throws ends its own job. Only by construction are the others, and the process, safe. */
  #tell(id: number, listener: JobListener | undefined, tell: (listener: JobListener) => void): void {
    if (listener === undefined) return;
    contain(
      () => tell(listener),
      (cause) => {
        const error = new DeliveryError(reasonOf(cause), cause);
        this.#logger.error('an answer could not be delivered', { id, reason: error.message });
        this.cancel(id);
        contain(
          () => listener.failed(error),
          (again) => this.#logger.error('a request could not be failed', { id, reason: reasonOf(again) }),
        );
      },
    );
  }

  #takeListener(id: number): JobListener | undefined {
    const listener = this.#listeners.get(id);
    this.#listeners.delete(id);
    return listener;
  }

  #failAll(error: Error): void {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const [id, open] of listeners) this.#tell(id, open, (listener) => listener.failed(error));
    for (const { reject } of this.#reports.values()) reject(error);
    this.#reports.clear();
  }
}

function errorOf(failure: JobFailure): Error {
  if (failure.kind === 'queue-full') return new QueueFullError(failure.waiting);
  if (failure.kind === 'invalid-request') return new InvalidRequestError(failure.field, failure.found, failure.advice);
  const error = deserializeError(failure.error);
  if (error.name === 'InvalidLogitsError') return new InvalidLogitsError();
  if (error.name !== 'ForwardError') return error;
  return new ForwardError(error.cause instanceof Error ? error.cause.message : error.message, error.cause);
}
