/**
 * The engine as the server sees it, and the one place that knows which engine serves now.
 */

import { reasonOf } from '../contain.ts';
import { setTimeout as delay } from 'node:timers/promises';
import type { Engine } from '../engine.ts';
import type { LoadProgress } from '../options.ts';
import { OpenAiError } from './errors/openai-error.ts';

/** What the server is doing. */
export type ServerState = 'loading' | 'ready' | 'restarting' | 'draining' | 'failed';

/** What `EngineHolder` tells about its engine. */
export interface EngineHolderEvents {
  /** The worker stopped; a new engine is being loaded. */
  readonly onCrash?: (error: unknown) => void;
  /** An engine is loaded and takes requests. */
  readonly onReady?: (engine: Engine) => void;
  /** An engine could not be loaded: the first one for good, later ones are tried again. */
  readonly onFailure?: (error: unknown) => void;
}

/** Loads one engine, until its signal fires, and tells how far it is: `Engine.load` takes both. */
export type LoadEngine = (signal: AbortSignal, onProgress: (progress: LoadProgress) => void) => Promise<Engine>;

const MS_PER_SECOND = 1000;
const RETRY_AFTER_SECONDS = 2;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;

/** Loads the engine, hands it to requests, and loads another one when its worker crashes. */
export class EngineHolder implements AsyncDisposable {
  readonly #load: () => Promise<Engine>;
  readonly #events: EngineHolderEvents;
  readonly #disposal = new AbortController();
  #engine: Engine | null = null;
  #state: ServerState = 'loading';
  #failure: unknown = null;
  #told: { readonly progress: LoadProgress; readonly at: number } | null = null;
  #loading: Promise<void>;

  /** @param load Called at once, and again after a crash. */
  constructor(load: LoadEngine, events: EngineHolderEvents = {}) {
    this.#load = () =>
      load(this.#disposal.signal, (progress) => {
        this.#told = { progress, at: performance.now() };
      });
    this.#events = events;
    this.#loading = this.#loadFirst();
  }

  get state(): ServerState {
    return this.#state;
  }

  /** How far the load under way is; null where none is, or has told nothing yet. */
  get progress(): LoadProgress | null {
    if (this.#told === null) return null;
    const { progress, at } = this.#told;
    // A layer may take long: the seconds go on meanwhile.
    return { ...progress, seconds: progress.seconds + Math.round(performance.now() - at) / MS_PER_SECOND };
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
        { code: 'shutting_down', retryAfter: RETRY_AFTER_SECONDS },
      );
    }
    if (this.#engine === null) {
      const message =
        this.#state === 'failed'
          ? `The model could not be loaded · ${reasonOf(this.#failure)}`
          : 'The model is being loaded · try again in a moment';
      throw new OpenAiError(503, message, { code: this.#state, retryAfter: RETRY_AFTER_SECONDS });
    }
    return this.#engine;
  }

  /** Takes no new requests from now on; those under way go on. An engine that is being loaded is given up. */
  drain(): void {
    this.#state = 'draining';
    this.#disposal.abort();
  }

  /** Frees the engine; requests that are still under way get an error. */
  async dispose(): Promise<void> {
    this.drain();
    await this.#loading;
    await this.#engine?.dispose();
    this.#engine = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #loadFirst(): Promise<void> {
    try {
      await this.#take(await this.#load());
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Loads until it works: a server that has served once keeps trying, each time after twice the pause. */
  async #reload(): Promise<void> {
    for (let pause = FIRST_RETRY_MS; !this.#disposal.signal.aborted; pause = Math.min(2 * pause, LONGEST_RETRY_MS)) {
      try {
        await this.#take(await this.#load());
        return;
      } catch (error) {
        this.#fail(error);
        await delay(pause, undefined, { signal: this.#disposal.signal }).catch(() => undefined);
      }
    }
  }

  async #take(engine: Engine): Promise<void> {
    this.#told = null;
    if (this.#disposal.signal.aborted) {
      await engine.dispose();
      return;
    }
    this.#engine = engine;
    this.#state = 'ready';
    void engine.closed.then((error) => {
      if (error !== null) this.#replace(engine, error);
    });
    this.#events.onReady?.(engine);
  }

  #replace(engine: Engine, error: Error): void {
    if (engine !== this.#engine || this.#disposal.signal.aborted) return;
    this.#engine = null;
    this.#state = 'restarting';
    this.#events.onCrash?.(error);
    this.#loading = engine.dispose().then(() => this.#reload());
  }

  #fail(error: unknown): void {
    this.#told = null;
    if (this.#disposal.signal.aborted) return;
    this.#failure = error;
    this.#state = 'failed';
    this.#events.onFailure?.(error);
  }
}
