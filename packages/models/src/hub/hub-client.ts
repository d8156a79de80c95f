/**
 * Requests to a hub: through the proxies that are set, asked again where that helps, and with failures in words.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { EnvHttpProxyAgent, fetch, type Response } from 'undici';
import type { ModelsError } from '../errors.ts';
import {
  HubAccessError,
  HubBusyError,
  HubNotFoundError,
  HubResponseError,
  HubUnreachableError,
  type MissingOnHub,
} from './errors.ts';
import type { HubSettings } from './hub-settings.ts';
import { askedDelayMs, backoffMs } from './retry-delay.ts';

/** How a client behaves. */
export interface HubClientOptions {
  /** Ends every request; they reject with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called before a wait, with its milliseconds and what made it necessary. */
  readonly onWait?: ((milliseconds: number, reason: string) => void) | undefined;
  /** Failures in a row after which a request is given up, 1 and up. Default 6. */
  readonly attempts?: number | undefined;
  /** The wait after so many failures in a row, in milliseconds. Default `backoffMs`. */
  readonly backoff?: ((failures: number) => number) | undefined;
}

const ATTEMPTS = 6;
/** A hub that asks for a longer wait is not waited for. */
const LONGEST_WAIT_MS = 300_000;
const MS_PER_SECOND = 1000;
/** What may be otherwise the next time. */
const PASSING_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Answers of one hub about one model. */
export class HubClient implements AsyncDisposable {
  readonly settings: HubSettings;
  /** `OWNER/MODEL`, for errors. */
  readonly #repository: string;
  readonly #signal: AbortSignal | undefined;
  readonly #onWait: (milliseconds: number, reason: string) => void;
  readonly #attempts: number;
  readonly #backoff: (failures: number) => number;
  readonly #agent: EnvHttpProxyAgent;

  constructor(settings: HubSettings, repository: string, options: HubClientOptions = {}) {
    const { timeoutMs, proxies } = settings;
    this.settings = settings;
    this.#repository = repository;
    this.#signal = options.signal;
    this.#onWait = options.onWait ?? (() => undefined);
    this.#attempts = options.attempts ?? ATTEMPTS;
    this.#backoff = options.backoff ?? backoffMs;
    // Empty texts, so that it does not look into the environment for what the settings leave out.
    this.#agent = new EnvHttpProxyAgent({
      httpProxy: proxies.http ?? '',
      httpsProxy: proxies.https ?? '',
      noProxy: proxies.without ?? '',
      connect: { timeout: timeoutMs },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    });
  }

  /** The address of a file of a revision. */
  fileUrl(commit: string, path: string): string {
    return `${this.settings.endpoint}/${this.#repository}/resolve/${commit}/${encodeURIComponent(path)}`;
  }

  /**
   * Asks until there is an answer with a status of success.
   *
   * @throws HubNotFoundError, HubAccessError, HubBusyError, HubResponseError, HubUnreachableError; the signal's reason
   */
  async get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    for (let failures = 1; ; failures++) {
      const failure = await this.#ask(url, headers);
      if (!('error' in failure)) return failure;
      const { error, delayMs, passes } = failure;
      const waitMs = delayMs ?? this.#backoff(failures);
      if (!passes || failures >= this.#attempts || waitMs > LONGEST_WAIT_MS) throw error;
      await this.wait(waitMs, error.message);
    }
  }

  /** The whole body of an answer, asked for again where it breaks off. Throws as `get` does. */
  async getText(
    url: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ readonly text: string; readonly headers: Response['headers'] }> {
    for (let failures = 1; ; failures++) {
      const response = await this.get(url, headers);
      try {
        return { text: await response.text(), headers: response.headers };
      } catch (error) {
        await this.afterFailure(url, failures, error);
      }
    }
  }

  /** Waits after a failure. Rejects with the signal's reason. */
  async wait(milliseconds: number, reason: string): Promise<void> {
    this.#onWait(milliseconds, reason);
    try {
      await sleep(milliseconds, undefined, this.#signal === undefined ? {} : { signal: this.#signal });
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw error;
    }
  }

  /**
   * Counts the failures of something that is done in many requests: waits after one, and throws once there were too many
   * in a row.
   *
   * @throws HubUnreachableError
   */
  async afterFailure(url: string, failures: number, cause: unknown): Promise<void> {
    const found = reasonOf(cause);
    if (failures >= this.#attempts) throw new HubUnreachableError(url, found, cause);
    await this.wait(this.#backoff(failures), found);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Not close(): that would wait for bodies that nobody reads any more.
    await this.#agent.destroy();
  }

  async #ask(url: string, headers: Readonly<Record<string, string>>): Promise<Response | Failure> {
    const { token, endpoint } = this.settings;
    // An answer may name addresses of other hosts, as a redirect may: they get no token.
    const isSent = token !== null && new URL(url).origin === new URL(endpoint).origin;
    let response: Response;
    try {
      response = await fetch(url, {
        dispatcher: this.#agent,
        headers: {
          // A range of compressed bytes would be of no use.
          'accept-encoding': 'identity',
          ...headers,
          // fetch leaves it out where it is redirected to another origin.
          ...(isSent ? { authorization: `Bearer ${token}` } : {}),
        },
        ...(this.#signal === undefined ? {} : { signal: this.#signal }),
      });
    } catch (cause) {
      this.#signal?.throwIfAborted();
      return { error: new HubUnreachableError(url, reasonOf(cause), cause), delayMs: null, passes: true };
    }
    if (response.ok) return response;
    // What a hub has to say beside the status is in its headers.
    await response.body?.cancel();
    return this.#failureOf(response, url);
  }

  #failureOf(response: Response, url: string): Failure {
    const { status } = response;
    const delayMs = askedDelayMs(response.headers);
    return { error: this.#errorOf(response, url, delayMs), delayMs, passes: PASSING_STATUSES.has(status) };
  }

  #errorOf({ status, headers }: Response, url: string, delayMs: number | null): ModelsError {
    const { token, endpoint } = this.settings;
    // https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/utils/_http.py: to those who may not
    // see it, the hub answers 401 for a repository that does not exist too.
    const code = headers.get('x-error-code') ?? '';
    const missing = MISSING[code] ?? (status === 404 ? 'model' : undefined);
    if (missing !== undefined && (status === 404 || token === null)) {
      return new HubNotFoundError(missing, this.#repository, url);
    }
    if (status === 401 || status === 403) {
      const isGated = code === 'GatedRepo' && token !== null;
      return new HubAccessError(this.#repository, isGated ? 403 : status, token !== null, endpoint);
    }
    if (status === 429) return new HubBusyError(url, delayMs === null ? null : Math.ceil(delayMs / MS_PER_SECOND));
    return new HubResponseError(url, status, headers.get('x-error-message') ?? 'it tells no reason');
  }
}

interface Failure {
  readonly error: ModelsError;
  /** The wait that the hub asks for, or null. */
  readonly delayMs: number | null;
  /** Whether asking again may help. */
  readonly passes: boolean;
}

const MISSING: Readonly<Record<string, MissingOnHub>> = {
  RepoNotFound: 'model',
  RevisionNotFound: 'revision',
  EntryNotFound: 'file',
};

/** What went wrong on the way: fetch says "fetch failed", and why in its causes. */
export function reasonOf(error: unknown): string {
  let deepest = error;
  while (deepest instanceof Error && deepest.cause instanceof Error) deepest = deepest.cause;
  if (!(deepest instanceof Error)) return String(deepest);
  // A connection that failed at several addresses has its reasons in `errors`, and no message.
  if (deepest instanceof AggregateError && deepest.message === '') return deepest.errors.map(reasonOf).join('; ');
  return deepest.message === '' ? deepest.name : deepest.message;
}
