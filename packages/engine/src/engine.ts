/**
 * The engine: a model in a worker, and everything a caller does with it.
 */

import {
  type GptOssConfig,
  locateModel,
  openSnapshot,
  type Snapshot,
  type Tokenizer,
  TooManyTokensError,
} from '@switchyard/models';
import {
  ContextLengthError,
  DisposedError,
  EmptyPromptError,
  type EngineError,
  InvalidRequestError,
  AbortedError,
} from './errors.ts';
import type { GenerateEvent, GenerateResult } from './events.ts';
import { Generation } from './answer/generation.ts';
import { collect } from './answer/collect.ts';
import { checkIds, checkRequest } from './prepare/check-request.ts';
import { containedCallback, containedLogger, SILENT_LOGGER } from './logger.ts';
import { LoadReporter } from './loading/load-reporter.ts';
import { allowanceOf, type MemoryAllowance, unplannedKvBytes } from './memory/load-budget.ts';
import { planKvBytes } from './memory/plan-model.ts';
import { type ProcessMemory, processMemory } from './memory/process-memory.ts';
import { type EngineOptions, resolveEngineOptions } from './options.ts';
import { buildPrompt } from './prepare/prompt.ts';
import { checkAnswer, toJob } from './prepare/to-job.ts';
import type { GenerateRequest, PromptRequest, ScoreInput, ScoreResult } from './request.ts';
import type { RunnerSource } from './runners/create-runner.ts';
import { DeviceCheckFailedError } from './device-check/errors.ts';
import { firstThatStarts, type PassedOver } from './runners/first-that-starts.ts';
import { type RunnerName, routerWithoutGpu } from './runners/runner-choice.ts';
import { RUNNERS } from './runners/runner-table.ts';
import type { LayerRouting } from './runners/runner.ts';
import { describeValue } from './check-values.ts';
import type { SchedulerStats } from './scheduler/job.ts';
import { untilAborted } from './loading/until-aborted.ts';
import { WorkerClient } from './worker/client.ts';
import type { ModelInfo, WorkerReport } from './worker/protocol.ts';

/** What runs the model, and what was tried before. */
export interface LoadedModel extends ModelInfo {
  /** Runners that `runner: 'auto'` tried before the one that runs, and why each was not taken. */
  readonly passedOver: readonly PassedOver[];
}

/** Options of `Engine.tokenize`. */
export interface TokenizeOptions {
  /** The most tokens that are of use, 0 and up. Defaults to no limit. */
  readonly maxTokens?: number;
}

/** A loaded model. Requests run side by side; each has its own iterator. */
export class Engine implements AsyncDisposable {
  readonly #snapshot: Snapshot;
  readonly #worker: WorkerClient;
  readonly #model: LoadedModel;
  #nextId = 0;
  #disposed = false;
  #onRouting: ((routing: LayerRouting) => void) | null = null;

  private constructor(snapshot: Snapshot, worker: WorkerClient, passedOver: readonly PassedOver[]) {
    this.#snapshot = snapshot;
    this.#worker = worker;
    this.#model = { ...worker.info, passedOver };
  }

  /**
   * Loads a model in a worker thread: a checkpoint's folder, or the name of a downloaded model (`openai/gpt-oss-20b`,
   * `openai/gpt-oss-20b@REVISION`) in the cache that Hugging Face's tools share; by default the embedded checkpoint.
   * Nothing is downloaded: `pullModel` of `@switchyard/models/hub` does that.
   * Throws InvalidRequestError, InsufficientMemoryError (before any weight is read), LoadError, AbortedError,
   * WorkerCrashedError, or a ModelsError for a model that is not there and for a bad checkpoint.
   */
  static async load(model?: string, options: EngineOptions = {}): Promise<Engine> {
    const { signal, onProgress = () => undefined, runnerModule, runnerOptions } = options;
    const logger = containedLogger(options.logger ?? SILENT_LOGGER);
    const progress = containedCallback('onProgress', onProgress, logger);
    const { memoryLimitBytes, runners, ...resolved } = resolveEngineOptions(options);
    if (model !== undefined && typeof model !== 'string') {
      throw new InvalidRequestError('model', describeValue(model), "give a checkpoint's folder or a model's name");
    }
    if (signal?.aborted === true) throw new AbortedError('Loading', signal.reason);
    using reporter = new LoadReporter(progress, logger);
    reporter.opening();
    const located = model === undefined ? undefined : locateModel(model);
    const opening = openSnapshot(located?.path, { tokenizer: 'thread', ...(signal === undefined ? {} : { signal }) });
    const snapshot = await untilAborted(opening, signal, 'Loading', (late) => late.dispose());
    try {
      let { router } = resolved;
      const start = async (
        runner: RunnerSource,
        kvCacheBytes: number,
        limits = resolved.limits,
      ): Promise<WorkerClient> => {
        // A model that does not fit is refused before.
        reporter.opened(snapshot.tensorBytes);
        return WorkerClient.start({
          data: {
            path: snapshot.path,
            tokenizer: snapshot.tokenizerData,
            ...resolved,
            router,
            limits: { ...limits, kvCacheBytes },
            runner,
            runnerOptions,
          },
          logger,
          onProgress: (step) => reporter.loading(step),
          signal,
        });
      };
      const allowance = async (memory: Promise<ProcessMemory | null>): Promise<MemoryAllowance> => {
        const found = await untilAborted(memory, signal, 'Loading');
        logger.info('loading model', { path: snapshot.path, tensorBytes: snapshot.tensorBytes, memory: found });
        return allowanceOf(found, memoryLimitBytes);
      };
      const startNamed = async (name: RunnerName): Promise<WorkerClient> => {
        const runner = RUNNERS[name];
        // Who names a runner takes it as it is.
        const isNamed = runners.length === 1;
        if (!isNamed) runner.assertPresent?.();
        await runner.assertUsable?.();
        const { prefillChunk = runner.prefillChunk } = options;
        const limits = { ...resolved.limits, prefillChunk };
        const demand = { ...resolved, limits, runner, kvCacheBytes: options.kvCacheBytes };
        const { config, path } = snapshot;
        const planned = { config, path: located?.name ?? path };
        const kvCacheBytes = planKvBytes(planned, await allowance(runner.deviceMemory(resolved.device)), demand);
        if (!isNamed && runner.usesGpu === true) {
          const { assertChecked } = await import('./device-check/assert-checked.ts');
          const { device, activations } = resolved;
          const onPhase = (what: string): void => reporter.checking(what);
          try {
            await assertChecked(snapshot, { device, activations, logger, signal, onPhase });
          } catch (error) {
            // What computes wrong answers is not to choose experts either.
            if (error instanceof DeviceCheckFailedError) router = routerWithoutGpu(router);
            throw error;
          }
        }
        return start({ name }, kvCacheBytes, limits);
      };
      // What a module will take is not known: it is not judged.
      const startModule = async (url: string): Promise<WorkerClient> =>
        start({ url }, options.kvCacheBytes ?? unplannedKvBytes(await allowance(processMemory())));
      const { started: worker, passedOver } =
        runnerModule === undefined
          ? await firstThatStarts(runners, startNamed, logger)
          : { started: await startModule(String(runnerModule)), passedOver: [] };
      try {
        reporter.ready();
        const { info } = worker;
        const { runner, plan } = info;
        const facts = { runner, router: info.router, plan, passedOver };
        logger.info('model loaded', { path: snapshot.path, ...facts, ...reporter.facts });
      } catch (error) {
        await worker.dispose();
        throw error;
      }
      return new Engine(snapshot, worker, passedOver);
    } catch (error) {
      snapshot.dispose();
      throw error;
    }
  }

  /** The checkpoint's folder. */
  get path(): string {
    return this.#snapshot.path;
  }

  get config(): GptOssConfig {
    return this.#snapshot.config;
  }

  get tokenizer(): Tokenizer {
    return this.#snapshot.tokenizer;
  }

  /** The model's shape, the runner with those that were passed over for it, its router and the KV plan. */
  get model(): LoadedModel {
    return this.#model;
  }

  /** Settles when the worker is gone: null after `dispose`, a WorkerCrashedError otherwise. Never rejects. */
  get closed(): Promise<EngineError | null> {
    return this.#worker.closed;
  }

  /**
   * Starts a generation and returns its events. A request that is wrong in itself throws here and at once:
   * InvalidRequestError, EmptyPromptError, ContextLengthError, DisposedError, WorkerCrashedError. Later failures throw
   * from the iterator: QueueFullError, AbortedError, ForwardError, InvalidLogitsError, DeliveryError, WorkerCrashedError,
   * DisposedError.
   * Leaving the `for await` loop, or calling `return()`, cancels the request at the next step.
   */
  generate(request: GenerateRequest): AsyncIterableIterator<GenerateEvent> {
    this.#checkOpen();
    checkRequest(request);
    const answer = checkAnswer(request, this.#snapshot);
    const { ids, createReader } = this.#withinContext((limit) =>
      buildPrompt(request, this.#snapshot, answer.stops, limit - 1),
    );
    const job = toJob(answer, this.#nextId++, ids, this.#checkLength(ids.length));
    const { tokenizer } = this.#snapshot;
    const host = {
      tokenizer,
      submit: this.#worker.submit.bind(this.#worker),
      cancel: this.#worker.cancel.bind(this.#worker),
      pause: this.#worker.pause.bind(this.#worker),
    };
    const { askedStopTokenIds: stopTokenIds } = answer;
    return new Generation({ host, job, reader: createReader(), signal: request.signal, stopTokenIds });
  }

  /** Runs a generation to its end. Throws what `generate` and its iterator throw. */
  async complete(request: GenerateRequest): Promise<GenerateResult> {
    return collect(this.generate(request));
  }

  /** How likely texts are under the model; results in the order of the inputs. Throws as `generate` does. */
  async score(inputs: readonly ScoreInput[], options: { readonly signal?: AbortSignal } = {}): Promise<ScoreResult[]> {
    if (!Array.isArray(inputs)) throw new InvalidRequestError('inputs', describeValue(inputs), 'give an array');
    this.#checkOpen();
    // All of them before the first is handed over: a bad request starts nothing.
    const texts = inputs.map((input: ScoreInput, index) => this.#scoredIds(input, index));
    return Promise.all(texts.map((ids) => this.#scoreOne(ids, options.signal)));
  }

  /** The scheduler's counters and gauges. */
  async stats(): Promise<SchedulerStats> {
    return (await this.report()).stats;
  }

  /**
   * Called with what every layer's router chose in each step, all requests together; null (the default) for nobody. What
   * it throws is logged, no more than once.
   * The rows of a single request come as its `routing` events.
   */
  get onRouting(): ((routing: LayerRouting) => void) | null {
    return this.#onRouting;
  }

  set onRouting(listener: ((routing: LayerRouting) => void) | null) {
    this.#onRouting = listener;
    this.#worker.watchRouting(listener);
  }

  /** The worker's counters: scheduler, expert load, runner timings. Waits for the step in progress. */
  async report(): Promise<WorkerReport> {
    this.#checkOpen();
    return this.#worker.report();
  }

  /**
   * The ids of a prompt, as `generate` would read it. Throws as `generate` does, but for the length: where there are
   * more than `maxTokens` (default no limit), TooManyTokensError.
   */
  tokenize(request: PromptRequest, { maxTokens = Number.POSITIVE_INFINITY }: TokenizeOptions = {}): number[] {
    this.#checkOpen();
    checkRequest(request);
    return [...buildPrompt(request, this.#snapshot, { texts: [], included: false }, maxTokens).ids];
  }

  /** The text of token ids, special tokens included. Throws InvalidRequestError for ids that have no token. */
  detokenize(ids: ArrayLike<number>): string {
    this.#checkOpen();
    const { tokenizer } = this.#snapshot;
    return tokenizer.decode(checkIds('ids', ids, tokenizer.vocabularySize));
  }

  /** Ends open requests with DisposedError, frees the model and ends the worker. Calling it again does nothing. */
  async dispose(): Promise<void> {
    if (this.#disposed) {
      await this.#worker.closed;
      return;
    }
    this.#disposed = true;
    await this.#worker.dispose();
    this.#snapshot.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** The ids of an input. Throws InvalidRequestError, EmptyPromptError, ContextLengthError. */
  #scoredIds(input: ScoreInput, index: number): Int32Array {
    const { tokenizer } = this.#snapshot;
    const field = `inputs[${index}]`;
    let ids: Int32Array;
    if (typeof input !== 'object' || input === null) {
      throw new InvalidRequestError(field, describeValue(input), 'give an object with text or ids');
    }
    if ('text' in input && typeof input.text === 'string') {
      const { text } = input;
      ids = Int32Array.from(this.#withinContext((limit) => tokenizer.encodeWithSpecialTokens(text, limit)));
    } else if ('ids' in input) ids = checkIds(`${field}.ids`, input.ids, tokenizer.vocabularySize);
    else throw new InvalidRequestError(field, describeValue(input), 'give an object with text or ids');
    if (ids.length === 0) throw new EmptyPromptError();
    this.#checkLength(ids.length - 1);
    return ids;
  }

  async #scoreOne(ids: Int32Array, signal: AbortSignal | undefined): Promise<ScoreResult> {
    const logprobs = await this.#scoreIds(ids, signal);
    let nll = 0;
    for (const logprob of logprobs) nll -= logprob;
    return { ids: [...ids], logprobs, nll, tokens: ids.length };
  }

  #scoreIds(ids: Int32Array, signal: AbortSignal | undefined): Promise<Float64Array> {
    if (signal?.aborted === true) throw new AbortedError('Scoring', signal.reason);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#worker.cancel(id);
        reject(new AbortedError('Scoring', signal?.reason));
      };
      const settled = (): void => signal?.removeEventListener('abort', abort);
      const arrival = performance.timeOrigin + performance.now();
      this.#worker.submit(
        { kind: 'score', id, prompt: ids, arrival },
        {
          queued: () => {},
          token: () => {},
          routing: () => {},
          finished: () => {},
          scored: ({ logprobs }) => {
            settled();
            resolve(logprobs);
          },
          failed: (error) => {
            settled();
            reject(error);
          },
        },
      );
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** The most tokens that prompt and answer may have together. */
  get #limit(): number {
    return Math.min(this.#worker.info.contextLength, this.#worker.info.plan.longestSequence);
  }

  /** Tokens left for an answer after `promptTokens`. Throws ContextLengthError where none are. */
  #checkLength(promptTokens: number): number {
    if (promptTokens >= this.#limit) throw this.#tooLong(promptTokens);
    return this.#limit - promptTokens;
  }

  /** Gives `encode` the limit; a text that it gives up becomes a ContextLengthError. */
  #withinContext<T>(encode: (limit: number) => T): T {
    try {
      return encode(this.#limit);
    } catch (error) {
      throw error instanceof TooManyTokensError ? this.#tooLong(this.#limit) : error;
    }
  }

  #tooLong(promptTokens: number): ContextLengthError {
    const limitedBy = this.#limit === this.#worker.info.contextLength ? 'context' : 'kv-budget';
    return new ContextLengthError(promptTokens, this.#limit, limitedBy);
  }

  #checkOpen(): void {
    if (this.#disposed) throw new DisposedError();
  }
}
