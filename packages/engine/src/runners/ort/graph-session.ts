import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { StepClock } from './layer-loop.ts';
import type { GraphBuilder } from './graph.ts';
import type { Logger } from '../../logger.ts';
import { WeightReader } from './weight-reader.ts';

/** The named tensors of one run. */
export type Feeds = Readonly<Record<string, Tensor>>;

/** How long ONNX Runtime's threads wait for each other busily before they sleep. */
const SPIN_MICROSECONDS = '20';

/** What a session computes with: the threads of the pool that all sessions share, or so many of its own. */
export type SessionThreads = 'shared' | number;

/** What all sessions of a model share. */
export interface SessionOptions {
  readonly threads: SessionThreads;
  /** Hears how long the runs take. */
  readonly clock: StepClock;
  readonly logger?: Logger;
  /** Reads the weights. Defaults to one of its own for every session. */
  readonly reader?: WeightReader;
  /**
   * Whether a session keeps the memory of its activations for the next run. Faster by microseconds; but there are several
   * sessions a layer, and each keeps what its largest run took. Defaults to true.
   */
  readonly keepsActivations?: boolean;
}

/** One ONNX graph, loaded on ONNX Runtime's CPU provider. */
export class GraphSession {
  readonly #session: InferenceSession;
  readonly #clock: StepClock;

  private constructor(session: InferenceSession, clock: StepClock) {
    this.#session = session;
    this.#clock = clock;
  }

  /** Loads a graph. The session keeps its own copy of the constants; the graph's can be dropped afterwards. */
  static async create(graph: GraphBuilder, options: SessionOptions): Promise<GraphSession> {
    const { reader = new WeightReader(), clock } = options;
    const { model, externalData, targets } = graph.build(reader);
    const settings = sessionSettings(options);
    const session = await reader.session(() => InferenceSession.create(model, { ...settings, externalData }));
    reader.giveBack(targets);
    return new GraphSession(session, clock);
  }

  /**
   * Loads a model in ONNX Runtime's own format. The session keeps no copy of constants that it did not reorder: it goes on
   * reading them where they lie in `model`.
   */
  static async createFromOrtFormat(model: Uint8Array, options: SessionOptions): Promise<GraphSession> {
    const { reader = new WeightReader(), clock } = options;
    const { extra, ...settings } = sessionSettings(options);
    const session = await reader.session(() =>
      InferenceSession.create(model, {
        ...settings,
        extra: {
          session: {
            ...extra.session,
            load_model_format: 'ORT',
            use_ort_model_bytes_directly: '1',
            use_ort_model_bytes_for_initializers: '1',
          },
        },
      }),
    );
    return new GraphSession(session, clock);
  }

  /** Runs the graph; its time is added to the clock's `compute`. */
  async run(feeds: Feeds): Promise<Record<string, Tensor>> {
    const started = performance.now();
    const outputs = await this.#session.run(feeds);
    this.#clock.compute += performance.now() - started;
    return outputs;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

/** How ONNX Runtime is to load any session. */
function sessionSettings({ threads, keepsActivations = true }: SessionOptions) {
  const pool =
    threads === 'shared' ? { use_per_session_threads: '0' } : { 'intra_op.spin_duration_us': SPIN_MICROSECONDS };
  return {
    executionProviders: ['cpu'],
    interOpNumThreads: 1,
    ...(threads === 'shared' ? {} : { intraOpNumThreads: threads }),
    enableCpuMemArena: keepsActivations,
    // Warnings about unused outputs and the like go to stderr otherwise; a library is silent.
    logSeverityLevel: 3,
    // A model has a session per layer, and the idle pools of the others would spin against the one that runs. The
    // short limit keeps a step from waiting long for a thread that a busy system has not scheduled.
    extra: { session: { force_spinning_stop: '1', ...pool } },
  } as const;
}

/** An f32 tensor over `values`, not copied. */
export function f32Tensor(values: Float32Array, shape: readonly number[]): Tensor {
  return new Tensor('float32', values, shape);
}

/** An i32 tensor over `values`, not copied. */
export function i32Tensor(values: Int32Array, shape: readonly number[]): Tensor {
  return new Tensor('int32', values, shape);
}

/** An i64 tensor of values from 0 to 2^31 - 1, written as their low halves: far cheaper than BigInts. */
export function i64Tensor(values: ArrayLike<number>, shape: readonly number[]): Tensor {
  const wide = new BigInt64Array(values.length);
  const halves = new Int32Array(wide.buffer);
  for (let index = 0; index < values.length; index++) {
    halves[2 * index] = values[index] as number;
  }
  return new Tensor('int64', wide, shape);
}

/** The data of an f32 output. */
export function f32Output(outputs: Readonly<Record<string, Tensor>>, name: string): Float32Array {
  return outputs[name]?.data as Float32Array;
}
