/** The Router on an AMD or NVIDIA GPU. */

import { CompileCache, addressOf, openGpuDriver } from '@switchyard/gpu';
import type {
  DeviceBuffer,
  DeviceChoice,
  GpuDriver,
  GpuPlatform,
  GpuStream,
  KernelCompiler,
  StreamLike,
} from '@switchyard/gpu';
import type { Logger } from '@switchyard/gpu/logger';
import type {
  Logits,
  ResolvedRouteArguments,
  ResolvedRouterConfig,
  RouteOptions,
  Router,
  RouterConfig,
  RouterOutput,
} from '../contract.ts';
import { checkRouteArguments, resolveRouterConfig } from '../resolve-config.ts';
import { DisposedError, InvalidConfigError } from '../errors.ts';
import { knownOptions, refuseUnknownOptions } from '../known-options.ts';
import { DeviceRoute, type DeviceRouteBuffers, type RouteShape } from './device-route.ts';
import { logitsAlignment } from './kernel/specialization.ts';
import { copyInputs, type HostInputs, HostStaging } from './host-staging.ts';
import { openRouterLibrary } from './router-library.ts';

/** How a HIP router is made. Other names are refused with InvalidConfigError. */
export interface HipRouterOptions {
  readonly logger?: Logger;
  /**
   * The GPU: a position in its list (AMD's first), `'amd:1'`, `'nvidia:0'`, an architecture or a part of a name. Defaults
   * to what the environment variable SWITCHYARD_DEVICE names, else to a discrete GPU before an integrated one.
   */
  readonly device?: DeviceChoice;
  /** Whose GPU. Defaults to AMD's or NVIDIA's. */
  readonly platform?: GpuPlatform;
  /** A driver to share. It stays the caller's to dispose of, after the router. Defaults to one of the router's own. */
  readonly driver?: GpuDriver;
  /** Where compiled kernels are kept. Defaults to `defaultCacheFolder()`. */
  readonly cacheFolder?: string;
  /**
   * Compiles shapes that no ahead-of-time object covers, or opens what does at the first of them. Defaults to hipRTC or
   * NVRTC.
   */
  readonly compiler?: KernelCompiler | (() => KernelCompiler);
  /**
   * `'all'` loads the kernels of every T for contiguous rows now, so that `enqueue` may be captured at once. `'none'`
   * leaves them to `prepare` and to the first `route` that needs them. Defaults to `'all'`.
   */
  readonly prepare?: 'all' | 'none';
}

const ROUTER_OPTIONS = knownOptions<HipRouterOptions>('HIP router option', InvalidConfigError, {
  logger: true,
  device: true,
  platform: true,
  driver: true,
  cacheFolder: true,
  compiler: true,
  prepare: true,
});

/**
 * Opens a GPU and makes a router on it.
 *
 * @throws InvalidConfigError; GpuLibraryNotFoundError, DriverTooOldError or NoGpuError where there is no GPU to use;
 * KernelCompileError, UnknownArchitectureError or GpuLibraryNotFoundError where a kernel must be compiled and cannot be
 */
export async function createHipRouter(config: RouterConfig, options: HipRouterOptions = {}): Promise<HipRouter> {
  const resolved = resolveRouterConfig(config);
  refuseUnknownOptions(ROUTER_OPTIONS, options);
  const { logger, device, platform } = options;
  const driver =
    options.driver ??
    openGpuDriver({
      ...(device === undefined ? {} : { device }),
      ...(platform === undefined ? {} : { platform }),
    });
  const cache = new CompileCache({
    ...(options.cacheFolder === undefined ? {} : { folder: options.cacheFolder }),
    ...(logger === undefined ? {} : { logger }),
  });
  const library = openRouterLibrary(driver, {
    cache,
    ...(options.compiler === undefined ? {} : { compiler: options.compiler }),
    ...(logger === undefined ? {} : { logger }),
  });
  const owned: Array<() => void> = [() => library.dispose()];
  if (options.driver === undefined) owned.push(() => driver.dispose());
  try {
    const stream = driver.createStream();
    owned.unshift(() => stream.destroy());
    const bias = await uploadBias(driver, stream, resolved.correctionBias);
    if (bias !== null) owned.unshift(() => bias.free());
    const route = await DeviceRoute.create(driver, library, resolved, bias?.pointer ?? 0n);
    if (options.prepare !== 'none') await route.prepareAll();
    return new HipRouter(resolved, driver, stream, route, owned);
  } catch (error) {
    for (const release of owned) release();
    throw error;
  }
}

/** A router on a GPU. Made by `createHipRouter`. */
export class HipRouter implements Router {
  readonly backend = 'hip';
  readonly config: ResolvedRouterConfig;
  readonly device: string;
  /** The device that it runs on, for callers that allocate, copy and capture beside it. */
  readonly driver: GpuDriver;
  readonly #stream: GpuStream;
  readonly #route: DeviceRoute;
  readonly #staging: HostStaging;
  readonly #owned: ReadonlyArray<() => void>;
  /** The end of the queue of `route` calls, which share the staging memory. Never rejects. */
  #tail: Promise<unknown> = Promise.resolve();
  #disposal: Promise<void> | null = null;

  constructor(
    config: ResolvedRouterConfig,
    driver: GpuDriver,
    stream: GpuStream,
    route: DeviceRoute,
    owned: ReadonlyArray<() => void>,
  ) {
    this.config = config;
    this.driver = driver;
    this.device = `${driver.info.name} (${driver.info.architecture})`;
    this.#stream = stream;
    this.#route = route;
    this.#staging = new HostStaging(config, driver);
    this.#owned = owned;
  }

  /** Routes rows of host memory. Concurrent calls run one after the other, in the order they were made. */
  async route(logits: Logits, options: RouteOptions = {}): Promise<RouterOutput> {
    this.#requireAlive();
    const args = checkRouteArguments(this.config, logits, options);
    // Copied now: by the time that its turn comes, the caller may have other things in its arrays.
    const inputs = copyInputs(this.config, logits, args);
    const result = this.#tail.then(() => this.#routeNow(inputs, args));
    this.#tail = result.catch(() => undefined);
    return result;
  }

  /** Loads the kernels that calls of a shape need, so that `enqueue` finds them. */
  async prepare(shape: RouteShape): Promise<void> {
    this.#requireAlive();
    await this.#route.prepare(shape);
  }

  /** Bytes of scratch memory that dispatch plans of T tokens or fewer take. */
  planWorkspaceBytes(tokens: number): number {
    return this.#route.planWorkspaceBytes(tokens);
  }

  /**
   * Enqueues a routing of rows that lie in device memory. Allocates no device memory and waits for nothing, so that
   * a graph can capture it. The buffers must stay in place until the stream has passed it.
   *
   * @throws InvalidArgumentError for a missing or misaligned pointer, and where the shape's kernel is not loaded
   */
  enqueue(stream: StreamLike, buffers: DeviceRouteBuffers): void {
    this.#requireAlive();
    this.#route.enqueue(stream, buffers);
  }

  dispose(): Promise<void> {
    this.#disposal ??= this.#tail.then(() => {
      this.#staging.dispose();
      for (const release of this.#owned) release();
    });
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #routeNow(inputs: HostInputs, args: ResolvedRouteArguments): Promise<RouterOutput> {
    const { tokens, rowStride, paddingMask, rowCount } = args;
    const padding = paddingMask !== null || rowCount < tokens;
    // Staged rows start at an address that 256 divides, so the stride alone decides the alignment.
    const shape = { tokens, padding, alignment: logitsAlignment(0n, rowStride, this.config.logitsDtype) };
    await this.#route.prepare(shape);
    const staged = this.#staging.stage(inputs, args, this.#route.workspaceBytes(shape));
    staged.upload(this.#stream);
    this.#route.enqueue(this.#stream, staged.buffers);
    staged.download(this.#stream);
    await this.#stream.synchronize();
    return staged.read();
  }

  #requireAlive(): void {
    if (this.#disposal !== null) throw new DisposedError(`router (hip, ${this.device})`);
  }
}

async function uploadBias(
  driver: GpuDriver,
  stream: GpuStream,
  bias: Float32Array | null,
): Promise<DeviceBuffer | null> {
  if (bias === null) return null;
  const buffer = driver.allocate(bias.byteLength);
  try {
    const bytes = new Uint8Array(bias.buffer, bias.byteOffset, bias.byteLength);
    driver.copyToDevice(buffer.pointer, addressOf(bytes), bias.byteLength, stream);
    await stream.synchronize();
    return buffer;
  } catch (error) {
    buffer.free();
    throw error;
  }
}
