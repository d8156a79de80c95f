/**
 * How an engine is loaded.
 */

import { InvalidRequestError } from './errors.ts';
import type { Logger } from './logger.ts';
import { KV_BYTES_OF_UNKNOWN_MEMORY } from './memory/load-budget.ts';
import { ENGINE_RANGES } from './ranges.ts';
import { type RunnerChoice, type RunnerName, runnersToTry } from './runners/runner-choice.ts';
import type { Activations, ExpertPrecision, RouterChoice } from './runners/runner-module.ts';
import { checkNumber, checkOneOf, describeValue } from './check-values.ts';
import type { SchedulerLimits } from './scheduler/limits.ts';

/** What is being loaded, and how much of it is done. */
export interface LoadProgress {
  readonly phase: 'checkpoint' | 'model' | 'ready';
  /** 0 to 1, over the whole load. */
  readonly fraction: number;
  /** What is being loaded, such as 'tokenizer', 'layer 3 of 24' or 'head'; 'model' where the runner does not say. */
  readonly what: string;
  /** Bytes of the checkpoint's tensors that are read and converted. */
  readonly doneBytes: number;
  /** Bytes that will be; 0 while that is not known. */
  readonly totalBytes: number;
  /** Seconds since the load began. */
  readonly seconds: number;
  /** Seconds of them that the runner spent in reading files, in converting weights, and in making its sessions. */
  readonly readSeconds: number;
  readonly convertSeconds: number;
  readonly sessionSeconds: number;
}

/** Options of `Engine.load`. */
export interface EngineOptions {
  /** How MXFP4 experts are computed with. Defaults to `'exact'`. */
  readonly expertPrecision?: ExpertPrecision;
  /**
   * What the GPU runner rounds activations to in steps of more than 512 tokens of a prompt, and keeps keys and values in: see
   * Activations. Defaults to `'bf16'`.
   */
  readonly activations?: Activations;
  /**
   * Threads to compute with, 1 to 1024. Defaults to the runner's choice. On the CPU that is one a core, of those that the
   * process's affinity and quota leave it; more than it may run at once are not made. All engines of a process share one
   * pool, whose size the first load decides; an engine of one thread has no pool.
   */
  readonly threads?: number;
  /**
   * What runs the model. `'auto'` takes the first that starts and holds it, a GPU before the CPU, and tells why others were
   * passed over (`Engine.model.passedOver`, and the log), unless the environment variable SWITCHYARD_RUNNER names one. A GPU
   * that it takes has had its answers checked on this machine: at the first load, in a process beside this one. With
   * `expertPrecision` `'int4'`, or a `router` on the CPU or in WebGPU, it tries no GPU. Defaults to `'auto'`.
   */
  readonly runner?: RunnerChoice;
  /**
   * Which GPU, where something runs on one: a position in the list that `switchyard inspect` prints, `'amd:1'`, `'nvidia:0'`,
   * an architecture (`'gfx942'`) or a part of a name. With the runner on the CPU it is the router's, which then has to be
   * on a GPU. Defaults to what the environment variable SWITCHYARD_DEVICE names, else a discrete GPU before others.
   */
  readonly device?: number | string;
  /** Which router to use. Defaults to `'auto'`. */
  readonly router?: RouterChoice;
  /** The most requests computed side by side, 1 to 1024. Defaults to 64. */
  readonly maxSequences?: number;
  /** The most requests that wait beside them, 0 to 1,000,000. Defaults to 256. */
  readonly maxQueue?: number;
  /** The most prompt tokens computed in one step beside answers in progress, 1 to 65536: smaller keeps those smoother, larger reads prompts faster. Where nobody waits, a GPU takes two such pieces at once. Defaults to 256, on a GPU to 1024. */
  readonly prefillChunk?: number;
  /**
   * KV memory in bytes, 1 MiB and up. Defaults to two thirds of what `memoryLimitBytes` leaves beside weights and
   * workspace (a sequence that outgrows its place exists one and a half times while it moves), at least one sequence of
   * 4096 tokens, and at most every sequence at its longest. It is handed out as it is needed. For a `runnerModule`, a
   * quarter of the memory that the process may still use, from 64 MiB to 4 GiB.
   */
  readonly kvCacheBytes?: number;
  /**
   * What the model may take in all, in bytes, 1 MiB and up: weights, workspace and KV memory. A model that would take more is
   * refused before any weight is read. Defaults to what this process may still use (a container's limit counts, the page
   * cache is free), less a sixteenth of it, from 64 MiB to 1 GiB.
   */
  readonly memoryLimitBytes?: number;
  /** The most finished sequences kept for prefix reuse, 0 (off) to 1024. Defaults to 64. */
  readonly maxCachedPrefixes?: number;
  /** URL of a module that makes the ModelRunner (see runner-module.ts), in place of `runner`. Defaults to none. */
  readonly runnerModule?: string | URL;
  /** Passed to the runner module through a structured clone. */
  readonly runnerOptions?: unknown;
  /** Ends the load; `Engine.load` throws AbortedError. */
  readonly signal?: AbortSignal;
  /** What it throws is logged, no more than once, and the load goes on: `signal` ends it. Defaults to nobody. */
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Defaults to silence. */
  readonly logger?: Logger;
}

/** The defaults that do not depend on the machine. */
export const DEFAULT_ENGINE_OPTIONS = {
  expertPrecision: 'exact',
  activations: 'bf16',
  router: 'auto',
  maxSequences: 64,
  maxQueue: 256,
  prefillChunk: 256,
  maxCachedPrefixes: 64,
} as const;

/** Every option, once. */
const NAMES: Readonly<Record<keyof EngineOptions, true>> = {
  expertPrecision: true,
  activations: true,
  threads: true,
  runner: true,
  device: true,
  router: true,
  maxSequences: true,
  maxQueue: true,
  prefillChunk: true,
  kvCacheBytes: true,
  memoryLimitBytes: true,
  maxCachedPrefixes: true,
  runnerModule: true,
  runnerOptions: true,
  signal: true,
  onProgress: true,
  logger: true,
};

/** A misspelt name would be a default that nobody asked for. */
function checkNames(options: EngineOptions): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(NAMES, name));
  if (unknown === undefined) return;
  throw new InvalidRequestError(unknown, 'an option of no such name', `use one of ${Object.keys(NAMES).join(', ')}`);
}

const MEBIBYTE = 2 ** 20;

function checkDevice(device: unknown): number | string | undefined {
  if (device === undefined || (typeof device === 'string' && device !== '')) return device;
  if (typeof device === 'number' && Number.isInteger(device) && device >= 0) return device;
  throw new InvalidRequestError('device', describeValue(device), 'give a position from 0 up, or a text');
}

/**
 * Options checked and filled in, but for a KV budget that is left to the model's plan: then `limits` has the smallest.
 * Throws InvalidRequestError.
 */
export function resolveEngineOptions(options: EngineOptions): {
  readonly expertPrecision: ExpertPrecision;
  readonly activations: Activations;
  readonly threads: number | undefined;
  readonly router: RouterChoice;
  readonly device: number | string | undefined;
  readonly runners: readonly RunnerName[];
  readonly limits: SchedulerLimits;
  readonly memoryLimitBytes: number | undefined;
} {
  checkNames(options);
  const count = (field: keyof typeof ENGINE_RANGES, fallback: number): number =>
    checkNumber(field, options[field], fallback, { ...ENGINE_RANGES[field], integer: true });
  const bytes = (field: keyof EngineOptions, fallback: number): number =>
    checkNumber(field, options[field], fallback, {
      minimum: MEBIBYTE,
      maximum: Number.MAX_SAFE_INTEGER,
      integer: true,
    });
  const expertPrecision = checkOneOf<ExpertPrecision>(
    'expertPrecision',
    options.expertPrecision ?? DEFAULT_ENGINE_OPTIONS.expertPrecision,
    ['exact', 'int4'],
  );
  const router = checkOneOf<RouterChoice>('router', options.router ?? DEFAULT_ENGINE_OPTIONS.router, [
    'auto',
    'cpu',
    'hip',
    'webgpu',
  ]);
  return {
    expertPrecision,
    activations: checkOneOf('activations', options.activations ?? DEFAULT_ENGINE_OPTIONS.activations, [
      'bf16',
      'exact',
    ]),
    threads: options.threads === undefined ? undefined : count('threads', 1),
    router,
    device: checkDevice(options.device),
    runners: runnersToTry(options.runner, { expertPrecision, router }),
    limits: {
      maxSequences: count('maxSequences', DEFAULT_ENGINE_OPTIONS.maxSequences),
      maxQueue: count('maxQueue', DEFAULT_ENGINE_OPTIONS.maxQueue),
      prefillChunk: count('prefillChunk', DEFAULT_ENGINE_OPTIONS.prefillChunk),
      kvCacheBytes: bytes('kvCacheBytes', KV_BYTES_OF_UNKNOWN_MEMORY),
      maxCachedPrefixes: count('maxCachedPrefixes', DEFAULT_ENGINE_OPTIONS.maxCachedPrefixes),
    },
    memoryLimitBytes: options.memoryLimitBytes === undefined ? undefined : bytes('memoryLimitBytes', MEBIBYTE),
  };
}
