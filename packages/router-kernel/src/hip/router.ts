/** The Router on an AMD or NVIDIA GPU. */

import type { GpuDriver, GpuStream, StreamLike } from '@switchyard/gpu';
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
import { DisposedError } from '../errors.ts';
import { DeviceRoute, type DeviceRouteBuffers, type RouteShape } from './device-route.ts';
import { logitsAlignment } from './kernel/specialization.ts';
import { copyInputs, type HostInputs, HostStaging } from './host-staging.ts';
import { openRouterDevice, uploadArray } from './router-device.ts';
import type { HipRouterOptions } from './router-device.ts';

/**
 * Opens a GPU and makes a router on it.
 *
 * @throws InvalidConfigError; GpuLibraryNotFoundError, DriverTooOldError or NoGpuError where there is no GPU to use;
 * KernelCompileError, UnknownArchitectureError or GpuLibraryNotFoundError where a kernel must be compiled and cannot be
 */
export async function createHipRouter(config: RouterConfig, options: HipRouterOptions = {}): Promise<HipRouter> {
  const resolved = resolveRouterConfig(config);
  const { driver, library, owned } = openRouterDevice(options);
  try {
    const stream = driver.createStream();
    owned.unshift(() => stream.destroy());
    const bias = resolved.correctionBias && (await uploadArray(driver, stream, resolved.correctionBias));
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
    const inputs = copyInputs(this.config.experts, logits, args);
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
