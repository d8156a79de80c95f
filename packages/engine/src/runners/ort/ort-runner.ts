import { readFloats } from '@switchyard/models';
import type { GptOssConfig, Snapshot, Tensor } from '@switchyard/models';
import { RouterError, createRouter } from '@switchyard/router-kernel';
import type { Router, RouterBackend, RouterOutput } from '@switchyard/router-kernel';
import { runLayers } from './layer-loop.ts';
import type { StepClock } from './layer-loop.ts';
import { checkCut, checkStep, emptyLogits, emptyRoutings } from '../check-step.ts';
import type { Logger } from '../../logger.ts';
import type { LoadingStep } from '../load-plan.ts';
import type { LogitsOutput, LogitsRunner, LogitsStep } from '../logits-runner.ts';
import type { ExpertPrecision } from '../runner-module.ts';
import type { LayerRouting, MemoryPlan } from '../runner.ts';
import { groupPieces } from './batch-pieces.ts';
import type { Piece } from './batch-pieces.ts';
import { KvCache } from './kv-cache.ts';
import { chooseDenseForm, chooseExpertForm } from './expert-form.ts';
import { countSessions, loadModel } from './load-model.ts';
import type { OrtModel } from './load-model.ts';
import { OrtPipeline } from './ort-pipeline.ts';
import { planOrtMemory } from './plan-memory.ts';
import { RotaryTables } from '../rotary-tables.ts';
import { StepGate } from '../step-gate.ts';
import { sessionThreads } from './session-threads.ts';

/** Models from this size on keep no memory for activations between steps. */
const LARGE_MODEL_BYTES = 2 ** 30;

/** Options of `createOrtRunner`. */
export interface OrtRunnerOptions {
  /** The checkpoint. The runner reads embedding rows from it in every step: it must outlive the runner. */
  readonly snapshot: Snapshot;
  /**
   * `'exact'` computes with the checkpoint's own MXFP4 values; `'int4'` rounds experts to 4-bit integers and their
   * activations to 8 bits: faster, and in three fifths of the memory where experts are large. With `'int4'` a token's result can depend in the last bits on
   * what else is in the batch; with `'exact'` it does not. Where attention and LM head are larger than 1 GiB as f32,
   * `'int4'` holds them as 8-bit blocks, as GGUF files of 4-bit models do. Defaults to `'exact'`.
   */
  readonly expertPrecision?: ExpertPrecision;
  /**
   * Threads that ONNX Runtime computes with, in one pool for all loads of the process, whose size the first decides.
   * Defaults to one a core that the process may use; at most as many as it may run at once, by its CPU affinity and quota.
   */
  readonly threads?: number;
  /**
   * The router. `'auto'` takes the HIP kernel where it starts and the CPU otherwise, unless SWITCHYARD_ROUTER names
   * one: the logits are in host memory, and a trip through WebGPU costs more than routing them. Defaults to `'auto'`.
   */
  readonly router?: RouterBackend | 'auto';
  /** The router's GPU, as `createRouter` takes it: where one is named, the router runs there or the load fails. */
  readonly device?: number | string;
  readonly logger?: Logger;
  /** Hears of the load after every part of a layer. What it throws ends the load. */
  readonly onProgress?: (step: LoadingStep) => void;
}

/**
 * Makes the runner that computes on the CPU with ONNX Runtime, experts dispatched by the router's plan.
 *
 * @throws what the router throws where the named backend cannot start
 */
export async function createOrtRunner(options: OrtRunnerOptions): Promise<LogitsRunner> {
  const { snapshot, expertPrecision = 'exact', threads, logger, onProgress } = options;
  const { config } = snapshot;
  const router = await startRouter(config, options);
  const clock: StepClock = { compute: 0, experts: 0, router: 0 };
  const forms = {
    experts: chooseExpertForm(config, expertPrecision),
    dense: chooseDenseForm(config, expertPrecision),
  };
  const plan = planOrtMemory(config, { expertPrecision });
  logger?.debug?.(`Experts are held as ${forms.experts}, attention and LM head as ${forms.dense}.`);
  try {
    const keepsActivations = plan.weightBytes < LARGE_MODEL_BYTES;
    const sessions = {
      threads: await sessionThreads(threads, countSessions(config, forms), logger),
      clock,
      keepsActivations,
      ...(logger === undefined ? {} : { logger }),
    };
    const model = await loadModel(snapshot, forms, sessions, onProgress ?? (() => {}));
    return new OrtRunner(config, snapshot.weights.embedding, model, router, clock, plan.weightBytes);
  } catch (error) {
    await router.dispose();
    throw error;
  }
}

async function startRouter(
  config: GptOssConfig,
  { router: backend = 'auto', device, logger }: Pick<OrtRunnerOptions, 'router' | 'device' | 'logger'>,
): Promise<Router> {
  const shape = { experts: config.experts, topK: config.expertsPerToken, dispatchPlan: true };
  const { SWITCHYARD_ROUTER: named, SWITCHYARD_DEVICE: namedDevice } = process.env;
  if (backend !== 'auto' || device !== undefined || named !== undefined || namedDevice !== undefined) {
    return createRouter({ ...shape, backend, ...(device === undefined ? {} : { device }) });
  }
  try {
    return await createRouter({ ...shape, backend: 'hip' });
  } catch (error) {
    if (!(error instanceof RouterError)) {
      throw error;
    }
    logger?.info?.(`The router runs on the CPU. ${error.message}`);
    return createRouter({ ...shape, backend: 'cpu' });
  }
}

class OrtRunner implements LogitsRunner {
  readonly name = 'onnxruntime-cpu';
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly memory: MemoryPlan;
  readonly router: { readonly backend: string; readonly device: string };
  onRouting: LogitsRunner['onRouting'] = null;
  readonly #config: GptOssConfig;
  readonly #embedding: Tensor;
  readonly #model: OrtModel;
  readonly #router: Router;
  readonly #clock: StepClock;
  readonly #cache: KvCache;
  readonly #rotary: RotaryTables;
  readonly #gate = new StepGate();

  constructor(
    config: GptOssConfig,
    embedding: Tensor,
    model: OrtModel,
    router: Router,
    clock: StepClock,
    weightBytes: number,
  ) {
    this.vocabularySize = config.vocabularySize;
    this.contextLength = config.contextLength;
    this.router = { backend: router.backend, device: router.device };
    this.#config = config;
    this.#embedding = embedding;
    this.#model = model;
    this.#router = router;
    this.#clock = clock;
    this.#rotary = new RotaryTables(config);
    const { layerTypes, keyValueHeads, headDim, slidingWindow } = config;
    const cache = new KvCache({ layerTypes, keyValueHeads, headDim, window: slidingWindow });
    this.#cache = cache;
    this.memory = {
      weightBytes,
      kvBytesPerToken: layerTypes.length * keyValueHeads * headDim * 2 * 4,
      kvBytes: (tokens) => cache.bytes(tokens),
    };
  }

  get timings(): LogitsRunner['timings'] {
    return this.#gate.timings(this.#clock);
  }

  createSequence(): number {
    this.#gate.assertIdle('createSequence');
    return this.#cache.create();
  }

  forkSequence(sequence: number, length: number): number | null {
    this.#gate.assertIdle('forkSequence');
    checkCut(length, this.length(sequence));
    return this.#cache.fork(sequence, length);
  }

  truncate(sequence: number, length: number): boolean {
    this.#gate.assertIdle('truncate');
    checkCut(length, this.length(sequence));
    return this.#cache.truncate(sequence, length);
  }

  length(sequence: number): number {
    return this.#cache.length(sequence);
  }

  releaseSequence(sequence: number): void {
    this.#gate.assertIdle('releaseSequence');
    this.#cache.release(sequence);
  }

  async forward(batch: readonly LogitsStep[]): Promise<readonly LogitsOutput[]> {
    this.#gate.assertIdle('forward');
    checkStep(batch, this);
    return this.#gate.run(async () => {
      const logits = emptyLogits(batch, this.vocabularySize);
      const routings =
        this.onRouting === null ? null : emptyRoutings(batch, this.#config.layers, this.#config.expertsPerToken);
      for (const pieces of groupPieces(batch, (sequence) => this.#cache.capacityFor(sequence, 1))) {
        await this.#runPieces(pieces, batch, logits, routings);
      }
      routings?.forEach((routing) => this.onRouting?.(routing, batch));
      return logits.map((rows) => ({ logits: rows }));
    });
  }

  async dispose(): Promise<void> {
    if (!this.#gate.close()) return;
    this.#cache.clear();
    await this.#model.release();
    await this.#router.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #runPieces(
    pieces: readonly Piece[],
    batch: readonly LogitsStep[],
    logits: readonly Float32Array[],
    routings: readonly LayerRouting[] | null,
  ): Promise<void> {
    const length = pieces[0]?.tokens.length ?? 0;
    const view = this.#cache.view(
      pieces.map(({ sequence }) => sequence),
      length,
    );
    const ordered = view.order.map((index) => pieces[index] as Piece);
    const wantedRows = ordered.flatMap(({ wanted }, index) => wanted.map((offset) => index * length + offset));
    const step = { embeddings: this.#embed(ordered, length), length, view, wantedRows };
    const pipeline = new OrtPipeline(this.#config, this.#model, this.#rotary, step);
    const observe =
      routings === null
        ? null
        : (layer: number, routing: RouterOutput): void => {
            this.#collect(routings[layer], routing, ordered, batch);
          };
    await runLayers(pipeline, this.#router, observe, this.#clock);
    let row = 0;
    for (const { entry, offset, wanted } of ordered) {
      const target = logits[entry] as Float32Array;
      const isWhole = target.length > this.vocabularySize;
      const rows = pipeline.logits.subarray(row * this.vocabularySize, (row + wanted.length) * this.vocabularySize);
      target.set(rows, isWhole ? offset * this.vocabularySize : 0);
      row += wanted.length;
    }
  }

  /** Embedding rows, f32 [pieces * length, hidden]. */
  #embed(pieces: readonly Piece[], length: number): Float32Array {
    const { hiddenSize } = this.#config;
    const embeddings = new Float32Array(pieces.length * length * hiddenSize);
    pieces.forEach(({ tokens }, index) => {
      tokens.forEach((token, offset) => {
        embeddings.set(
          readFloats(this.#embedding, token * hiddenSize, hiddenSize),
          (index * length + offset) * hiddenSize,
        );
      });
    });
    return embeddings;
  }

  /** Puts a group's routing where the batch's order wants it. */
  #collect(
    target: LayerRouting | undefined,
    routing: RouterOutput,
    pieces: readonly Piece[],
    batch: readonly LogitsStep[],
  ): void {
    const topK = this.#config.expertsPerToken;
    let from = 0;
    for (const { entry, offset, tokens } of pieces) {
      const before = batch.slice(0, entry).reduce((sum, step) => sum + step.tokens.length, 0);
      const to = from + tokens.length * topK;
      target?.ids.set((routing.ids as Int32Array).subarray(from, to), (before + offset) * topK);
      target?.weights.set(routing.weights.subarray(from, to), (before + offset) * topK);
      from = to;
    }
  }
}
