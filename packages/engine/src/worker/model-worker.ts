/**
 * The thread that runs the model: loads it, then steps the scheduler while there is work.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { openSnapshot, type Snapshot } from '@switchyard/models';
import { contain } from '../contain.ts';
import { AbortedError, InvalidRequestError, QueueFullError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { createRunner } from '../runners/create-runner.ts';
import type { LoadingStep } from '../runners/load-plan.ts';
import type { LayerRouting, ModelRunner } from '../runners/runner.ts';
import type { RunnerModuleOptions } from '../runners/runner-module.ts';
import type { Job, StepReport } from '../scheduler/job.ts';
import { Scheduler } from '../scheduler/scheduler.ts';
import { ConstraintFactory } from './create-constraint.ts';
import type { FromWorker, JobFailure, ToWorker, WorkerData } from './protocol.ts';
import { releaseFreeMemory } from './release-free-memory.ts';
import { serializeError } from '../serialized-error.ts';
import { ThreadGate } from './thread-gate.ts';
import { listOfTokens } from './token-list.ts';

/** Milliseconds between two messages about one part of a load. */
const PROGRESS_MS = 100;

/** A runner module may tell of its progress as a fraction. */
function loadingStep(progress: number | LoadingStep, totalBytes: number): LoadingStep {
  if (typeof progress !== 'number') return progress;
  const doneBytes = Math.round(progress * totalBytes);
  return { what: 'model', doneBytes, totalBytes, readMs: 0, convertMs: 0, sessionMs: 0 };
}

function portLogger(post: (message: FromWorker) => void): Required<Logger> {
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields?: Readonly<Record<string, unknown>>): void =>
      contain(
        () => post({ type: 'log', level, message, fields }),
        // Fields that cannot be copied to another thread: the message alone, then.
        () => post({ type: 'log', level, message, fields: undefined }),
      );
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function failureOf(error: unknown): JobFailure {
  if (error instanceof QueueFullError) return { kind: 'queue-full', waiting: error.waiting };
  if (error instanceof InvalidRequestError) {
    return { kind: 'invalid-request', field: error.field, found: error.found, advice: error.advice };
  }
  return { kind: 'error', error: serializeError(error) };
}

const isEmpty = (report: StepReport): boolean =>
  report.tokens.length +
    report.finished.length +
    report.scored.length +
    report.routing.length +
    report.failed.length ===
  0;

/** Serves one engine until it says `dispose`. */
class ModelWorker {
  readonly #port: MessagePort;
  readonly #scheduler: Scheduler;
  readonly #runner: ModelRunner;
  readonly #snapshot: Snapshot;
  readonly #constraints: ConstraintFactory;
  readonly #gate: ThreadGate;
  /** What the routers chose since it was last told; null while nobody listens. */
  #routed: LayerRouting[] | null = null;
  /** Jobs whose grammars are being compiled: not yet in the queue. */
  readonly #preparing = new Set<number>();
  #stepping = false;
  #disposed = false;

  constructor(port: MessagePort, snapshot: Snapshot, runner: ModelRunner, data: WorkerData, gate: ThreadGate) {
    const { layers, experts, expertsPerToken } = snapshot.config;
    this.#port = port;
    this.#snapshot = snapshot;
    this.#runner = runner;
    this.#gate = gate;
    this.#constraints = new ConstraintFactory(snapshot, runner.vocabularySize);
    this.#scheduler = new Scheduler({
      ...data.limits,
      runner,
      createConstraint: (specification) => this.#constraints.create(specification),
    });
    const { name: runnerName, vocabularySize, contextLength, router } = runner;
    this.#post({
      type: 'ready',
      info: {
        runner: runnerName,
        layers,
        experts,
        expertsPerToken,
        vocabularySize,
        contextLength,
        router: { backend: router.backend, device: router.device },
        plan: this.#scheduler.kv.plan,
      },
    });
  }

  receive(message: ToWorker): void {
    switch (message.type) {
      case 'submit':
        if (message.job.kind === 'score' || message.job.constraint === null) this.#enqueue(message.job);
        else void this.#prepare(message.job, message.job.constraint);
        return;
      case 'cancel':
        if (!this.#preparing.delete(message.id)) this.#scheduler.cancel(message.id);
        void this.#run();
        return;
      case 'pause':
        this.#scheduler.pause(message.id, message.paused);
        void this.#run();
        return;
      case 'report': {
        this.#post({
          type: 'report',
          call: message.call,
          report: {
            stats: this.#scheduler.stats,
            expertLoad: this.#runner.expertLoad,
            runnerTimings: { ...this.#runner.timings },
            residentBytes: process.memoryUsage.rss(),
          },
        });
        return;
      }
      case 'watch-routing':
        this.#watchRouting(message.on);
        return;
      case 'dispose':
        this.#disposed = true;
        this.#scheduler.wake();
        if (!this.#stepping) void this.#dispose();
        return;
    }
  }

  #watchRouting(on: boolean): void {
    if (on === (this.#routed !== null)) return;
    const routed: LayerRouting[] = [];
    this.#routed = on ? routed : null;
    this.#runner.onRouting = on ? (routing) => routed.push(routing) : null;
  }

  /** Compiles a job's grammars before it joins the queue, so that a schema that cannot be compiled is a bad request. */
  async #prepare(job: Job, constraint: unknown): Promise<void> {
    try {
      this.#scheduler.keepPlace();
    } catch (error) {
      this.#refuse(job, error);
      return;
    }
    const isWanted = (): boolean => this.#preparing.has(job.id) && !this.#disposed;
    this.#preparing.add(job.id);
    let failure: unknown = null;
    try {
      await this.#constraints.prepare(constraint, isWanted);
    } catch (error) {
      failure = error;
    }
    this.#scheduler.givePlaceBack();
    const wanted = isWanted();
    this.#preparing.delete(job.id);
    if (!wanted) return;
    if (failure === null) this.#enqueue(job);
    else this.#refuse(job, failure);
  }

  #enqueue(job: Job): void {
    try {
      this.#scheduler.add(job);
    } catch (error) {
      this.#refuse(job, error);
      return;
    }
    this.#post({ type: 'queued', id: job.id });
    void this.#run();
  }

  #refuse(job: Job, error: unknown): void {
    const failed = [{ id: job.id, failure: failureOf(error) }];
    this.#post({ type: 'step', tokens: listOfTokens([]), finished: [], scored: [], routing: [], failed });
  }

  /** Steps while there is work, letting messages in between. A failure here ends the thread: the engine sees it. */
  async #run(): Promise<void> {
    if (this.#stepping || this.#disposed) return;
    this.#stepping = true;
    while (this.#scheduler.hasWork && !this.#disposed) {
      // The process is about to end.
      if (!this.#gate.enter()) return;
      const report = await this.#scheduler.step();
      this.#gate.leave();
      // Before the step's results: who has an answer has heard of all its routing.
      const layers = this.#routed?.splice(0) ?? [];
      if (layers.length > 0) this.#post({ type: 'routed', layers });
      if (!isEmpty(report)) {
        const failed = report.failed.map(({ id, error }) => ({ id, failure: failureOf(error) }));
        this.#post({ type: 'step', ...report, tokens: listOfTokens(report.tokens), failed });
      }
      await nextTurn();
    }
    this.#stepping = false;
    if (this.#disposed) await this.#dispose();
  }

  async #dispose(): Promise<void> {
    this.#constraints[Symbol.dispose]();
    if (!this.#gate.enter()) return;
    await this.#runner.dispose();
    this.#gate.leave();
    this.#snapshot.dispose();
    this.#port.close();
  }

  #post(message: FromWorker): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#port.postMessage(message);
  }
}

async function serve(port: MessagePort, data: WorkerData): Promise<void> {
  const post = (message: FromWorker): void => port.postMessage(message);
  const gate = new ThreadGate(data.gate);
  let snapshot: Snapshot | null = null;
  try {
    if (!gate.enter()) throw new AbortedError('Loading');
    // Text becomes tokens on the engine's side; an encoder here would be a second one.
    snapshot = await openSnapshot(data.path, { encoder: 'when-needed', tokenizer: data.tokenizer ?? 'here' });
    const totalBytes = snapshot.tensorBytes;
    let told = { what: '', at: Number.NEGATIVE_INFINITY };
    const options: RunnerModuleOptions = {
      snapshot,
      expertPrecision: data.expertPrecision,
      activations: data.activations,
      threads: data.threads,
      router: data.router,
      device: data.device,
      kvCacheBytes: data.limits.kvCacheBytes,
      logger: portLogger(post),
      onProgress: (progress) => {
        if (gate.stopping) throw new AbortedError('Loading');
        const step = loadingStep(progress, totalBytes);
        const now = performance.now();
        // A runner may tell of every piece of work, so that it can be stopped there; nobody reads as fast.
        if (step.what === told.what && step.doneBytes < step.totalBytes && now - told.at < PROGRESS_MS) return;
        told = { what: step.what, at: now };
        post({ type: 'progress', step });
      },
      runnerOptions: data.runnerOptions,
    };
    const runner = await createRunner(data.runner, options);
    releaseFreeMemory();
    gate.leave();
    const worker = new ModelWorker(port, snapshot, runner, data, gate);
    port.on('message', (message: ToWorker) => worker.receive(message));
  } catch (error) {
    gate.leave();
    snapshot?.dispose();
    post({ type: 'load-failed', error: serializeError(error) });
    port.close();
  }
}

if (parentPort !== null) await serve(parentPort, workerData as WorkerData);
