/**
 * The engine as the server sees it, and the one place that knows which engine serves now.
 *
 * @module
 */
import { DisposedError, WorkerCrashedError } from '../errors.ts';
import type { Engine } from '../engine.ts';
import { OpenAiError } from './openai-error.ts';

/** What the server is doing. */
export type ServerState = 'loading' | 'ready' | 'restarting' | 'draining' | 'failed';

/** What `EngineHolder` tells about its engine. */
export interface EngineHolderEvents {
  /** The worker stopped; a new engine is being loaded. */
  readonly onCrash?: (error: unknown) => void;
  /** Another engine took over. */
  readonly onReady?: (engine: Engine) => void;
  /** No engine could be loaded: the server stays up and says so. */
  readonly onFailure?: (error: unknown) => void;
}

const RETRY_AFTER_LOADING = 2;

/** Loads the engine, hands it to requests, and loads another one when its worker crashes. */
export class EngineHolder implements AsyncDisposable {
  readonly #load: () => Promise<Engine>;
  readonly #events: EngineHolderEvents;
  #engine: Engine | null = null;
  #state: ServerState = 'loading';
  #failure: unknown = null;
  #loading: Promise<void>;

  /** @param load Loads one engine; called at once, and again after a crash. */
  constructor(load: () => Promise<Engine>, events: EngineHolderEvents = {}) {
    this.#load = load;
    this.#events = events;
    this.#loading = this.#replace();
  }

  get state(): ServerState {
    return this.#state;
  }

  /** Settles when the load in progress is over, well or not. */
  get settled(): Promise<void> {
    return this.#loading;
  }

  /** Why there is no engine, where `state` is `'failed'`. */
  get failure(): unknown {
    return this.#failure;
  }

  /** The engine, or null while there is none. */
  get engineOrNull(): Engine | null {
    return this.#engine;
  }

  /** @throws OpenAiError 503 while there is no engine or the server drains. */
  get engine(): Engine {
    if (this.#state === 'draining') {
      throw new OpenAiError(
        503,
        'The server shuts down · it takes no new requests · send the request to another server',
        {
          code: 'shutting_down',
          retryAfter: RETRY_AFTER_LOADING,
        },
      );
    }
    if (this.#engine === null) {
      const message =
        this.#state === 'failed'
          ? `The model could not be loaded · ${this.#failure instanceof Error ? this.#failure.message : String(this.#failure)}`
          : 'The model is being loaded · try again in a moment';
      throw new OpenAiError(503, message, { code: this.#state, retryAfter: RETRY_AFTER_LOADING });
    }
    return this.#engine;
  }

  /** Tells of a failed request, so that a crashed engine is replaced. */
  report(error: unknown, engine: Engine): void {
    if (!(error instanceof WorkerCrashedError) || engine !== this.#engine || this.#state === 'draining') return;
    this.#engine = null;
    this.#state = 'restarting';
    this.#events.onCrash?.(error);
    this.#loading = engine.dispose().then(
      () => this.#replace(),
      () => this.#replace(),
    );
  }

  /** Takes no new requests from now on; those under way go on. */
  drain(): void {
    this.#state = 'draining';
  }

  async dispose(): Promise<void> {
    this.#state = 'draining';
    await this.#loading;
    await this.#engine?.dispose();
    this.#engine = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #replace(): Promise<void> {
    try {
      const engine = await this.#load();
      if (this.#state === 'draining') {
        await engine.dispose();
        return;
      }
      this.#engine = engine;
      this.#state = 'ready';
      this.#events.onReady?.(engine);
    } catch (error) {
      if (this.#state === 'draining' || error instanceof DisposedError) return;
      this.#failure = error;
      this.#state = 'failed';
      this.#events.onFailure?.(error);
    }
  }
}
