/** The GatedRouter on an AMD or NVIDIA GPU. */

import { downloadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, GpuDriver, GpuStream, StreamLike } from '@switchyard/gpu';
import type { ResolvedRouteArguments, RouteOptions } from '../contract.ts';
import { DisposedError } from '../errors.ts';
import type {
  GatedRouter,
  GatedRouterConfig,
  GatedRouterOutput,
  GateShape,
  HiddenStates,
} from '../gate/gate-contract.ts';
import { checkGatedRouteArguments, gateShapeOf, hiddenBytes, resolveGatedRouterConfig } from '../gate/resolve-gate.ts';
import { DeviceGatedRoute } from './device-gated-route.ts';
import type { DeviceGatedRouteBuffers, GatedRouteShape } from './device-gated-route.ts';
import type { DevicePlanBuffers } from './device-route.ts';
import { copyInputs, type HostInputs, HostStaging } from './host-staging.ts';
import { openRouterDevice, uploadArray } from './router-device.ts';
import type { HipRouterOptions } from './router-device.ts';

/**
 * Opens a GPU and makes a gated router on it. The weights of the gate are uploaded once.
 *
 * @throws as `createHipRouter`
 */
export async function createHipGatedRouter(
  config: GatedRouterConfig,
  options: HipRouterOptions = {},
): Promise<HipGatedRouter> {
  const resolved = resolveGatedRouterConfig(config);
  const { driver, library, owned } = openRouterDevice(options);
  try {
    const stream = driver.createStream();
    owned.unshift(() => stream.destroy());
    const upload = async (array: ArrayBufferView | null): Promise<bigint> => {
      if (array === null) return 0n;
      const buffer = await uploadArray(driver, stream, array);
      owned.unshift(() => buffer.free());
      return buffer.pointer;
    };
    const gate = {
      weight: await upload(resolved.gateWeight),
      bias: await upload(resolved.gateBias),
      correctionBias: await upload(resolved.router.correctionBias),
    };
    const shape = gateShapeOf(resolved);
    const route = await DeviceGatedRoute.create({ driver, library, shape, gate });
    if (options.prepare !== 'none') await route.prepareAll();
    return new HipGatedRouter(shape, driver, stream, route, owned);
  } catch (error) {
    for (const release of owned) release();
    throw error;
  }
}

/** A gated router on a GPU. Made by `createHipGatedRouter`. */
export class HipGatedRouter implements GatedRouter {
  readonly backend = 'hip';
  readonly config: GateShape;
  readonly device: string;
  /** The device that it runs on, for callers that allocate, copy and capture beside it. */
  readonly driver: GpuDriver;
  readonly #stream: GpuStream;
  readonly #route: DeviceGatedRoute;
  readonly #staging: HostStaging;
  readonly #owned: ReadonlyArray<() => void>;
  #logits: DeviceBuffer | null = null;
  /** The end of the queue of `route` calls, which share the staging memory. Never rejects. */
  #tail: Promise<unknown> = Promise.resolve();
  #disposal: Promise<void> | null = null;

  constructor(
    config: GateShape,
    driver: GpuDriver,
    stream: GpuStream,
    route: DeviceGatedRoute,
    owned: ReadonlyArray<() => void>,
  ) {
    this.config = config;
    this.driver = driver;
    this.device = `${driver.info.name} (${driver.info.architecture})`;
    this.#stream = stream;
    this.#route = route;
    this.#staging = new HostStaging(config.router, driver);
    this.#owned = owned;
  }

  /** Routes hidden states of host memory. Concurrent calls run one after the other, in the order they were made. */
  async route(hidden: HiddenStates, options: RouteOptions = {}): Promise<GatedRouterOutput> {
    this.#requireAlive();
    const args = checkGatedRouteArguments(this.config, hidden, options);
    // Copied now, in rows that begin at multiples of 16 bytes, which a caller's stride may not have.
    const inputs = this.#copyRows(hidden, args);
    const result = this.#tail.then(() => this.#routeNow(inputs, args));
    this.#tail = result.catch(() => undefined);
    return result;
  }

  /** Loads the kernels that calls of a shape need, so that `enqueue` finds them. */
  async prepare(shape: GatedRouteShape): Promise<void> {
    this.#requireAlive();
    await this.#route.prepare(shape);
  }

  /** Bytes of scratch memory that calls of T tokens or fewer take. */
  workspaceBytes(tokens: number): number {
    return this.#route.workspaceBytes(tokens);
  }

  /** Bytes at its start that have to be 0 before the first call, and are left 0 by every call. */
  get clearedBytes(): number {
    return this.#route.clearedBytes;
  }

  /**
   * Enqueues a gate projection and routing of hidden states that lie in device memory: one launch for up to 4 tokens,
   * two or three for more. Allocates no device memory and waits for nothing, so that a graph can capture it. The
   * buffers must stay in place until the stream has passed it.
   *
   * @throws InvalidArgumentError for a missing or misaligned pointer, and where the shape's kernel is not loaded
   */
  enqueue(stream: StreamLike, buffers: DeviceGatedRouteBuffers): void {
    this.#requireAlive();
    this.#route.enqueue(stream, buffers);
  }

  dispose(): Promise<void> {
    this.#disposal ??= this.#tail.then(() => {
      this.#staging.dispose();
      this.#logits?.free();
      for (const release of this.#owned) release();
    });
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #routeNow(inputs: HostInputs, args: ResolvedRouteArguments): Promise<GatedRouterOutput> {
    const { experts } = this.config.router;
    const { tokens, paddingMask, rowCount } = args;
    await this.#route.prepare({ tokens, padding: paddingMask !== null || rowCount < tokens });
    const contiguous = { ...args, rowStride: this.config.hiddenSize };
    const workspaceBytes = this.#route.workspaceBytes(tokens);
    const staged = this.#staging.stage(inputs, contiguous, workspaceBytes, this.#route.clearedBytes);
    const logitsBytes = tokens * experts * 4;
    const logits = this.#reserveLogits(logitsBytes);
    staged.upload(this.#stream);
    const { logits: hidden, dispatchPlan, ...buffers } = staged.buffers;
    this.#route.enqueue(this.#stream, {
      ...buffers,
      hidden,
      logits: logits.pointer,
      workspace: staged.workspace,
      ...(dispatchPlan === undefined ? {} : { dispatchPlan: withoutWorkspace(dispatchPlan) }),
    });
    staged.download(this.#stream);
    const bytes = await this.#download(logits, logitsBytes);
    return { ...staged.read(), routerLogits: new Float32Array(bytes) };
  }

  #copyRows(hidden: HiddenStates, args: ResolvedRouteArguments): HostInputs {
    const { hiddenSize, hiddenDtype } = this.config;
    const { tokens, rowStride } = args;
    const inputs = copyInputs(hiddenSize, hidden, args);
    if (rowStride === hiddenSize) return inputs;
    const rowBytes = hiddenSize * hiddenBytes(hiddenDtype);
    const strideBytes = rowStride * hiddenBytes(hiddenDtype);
    const rows = new Uint8Array(tokens * rowBytes);
    for (let token = 0; token < tokens; token++) {
      rows.set(inputs.rows.subarray(token * strideBytes, token * strideBytes + rowBytes), token * rowBytes);
    }
    return { ...inputs, rows };
  }

  /** Waits for the stream. */
  async #download({ pointer }: DeviceBuffer, bytes: number): Promise<ArrayBuffer> {
    if (bytes > 0) return downloadBytes(this.driver, this.#stream, pointer, bytes);
    await this.#stream.synchronize();
    return new ArrayBuffer(0);
  }

  #reserveLogits(bytes: number): DeviceBuffer {
    if (this.#logits !== null && this.#logits.bytes >= bytes) return this.#logits;
    this.#logits?.free();
    this.#logits = null;
    this.#logits = this.driver.allocate(Math.max(bytes, 16));
    return this.#logits;
  }

  #requireAlive(): void {
    if (this.#disposal !== null) throw new DisposedError(`gated router (hip, ${this.device})`);
  }
}

/** Where a plan goes. Its scratch memory is the call's. */
function withoutWorkspace(plan: DevicePlanBuffers): Omit<DevicePlanBuffers, 'workspace'> {
  const { workspace: _, ...outputs } = plan;
  return outputs;
}
