/** The router as WGSL, wherever there is WebGPU. */

import { SharedUniforms, fromGpuError } from '@switchyard/gpu/webgpu';
import type { SharedDevice, UniformSource } from '@switchyard/gpu/webgpu';
import { knownOptions, refuseUnknownOptions } from '../known-options.ts';
import { checkRouteArguments, resolveRouterConfig } from '../resolve-config.ts';
import type {
  Logits,
  ResolvedRouteArguments,
  ResolvedRouterConfig,
  RouteOptions,
  Router,
  RouterConfig,
  RouterOutput,
} from '../contract.ts';
import { buildDispatchPlan } from '../dispatch-plan.ts';
import { tileShapeOf } from '../expert-tiles.ts';
import { DisposedError, InvalidArgumentError, InvalidConfigError } from '../errors.ts';
import { CallBufferPool, CallBuffers } from './call-buffers.ts';
import { DispatchEncoder } from './dispatch-encoder.ts';
import type { EncodedCall } from './dispatch-encoder.ts';
import { logitBytes } from '../derived-config.ts';
import { checkGpuBuffers } from './gpu-ranges.ts';
import { bytesOfElements } from '../typed-arrays.ts';
import type { RouterGpuBuffers } from './gpu-ranges.ts';
import type { ExchangePath } from './kernel/launch-geometry.ts';
import { RouterPipelines } from './pipelines.ts';

/** Bytes of logits that `route` uploads at once; larger inputs go in slices. */
const UPLOAD_BYTES = 2 ** 27;

/** The tokens of an `encode` call. */
export interface EncodeOptions {
  /** T, the rows to route. */
  readonly tokens: number;
  /** Elements from one row of logits to the next, >= E. Defaults to E. */
  readonly rowStride?: number;
  /** Rows at and past this number are padding. Defaults to T. See also `RouterGpuBuffers.rowCount`. */
  readonly rowCount?: number;
}

const ENCODE_OPTIONS = knownOptions<EncodeOptions>('encode option', InvalidArgumentError, {
  tokens: true,
  rowStride: true,
  rowCount: true,
});

/** What a gated router uses of the router behind its gate. */
export interface RouterParts {
  readonly encoder: DispatchEncoder;
  readonly pipelines: RouterPipelines;
  readonly uniforms: UniformSource;
  /** Checks an `encode` call. @throws InvalidArgumentError, DisposedError, WebGpuDeviceLostError */
  checkCall(buffers: RouterGpuBuffers, options: EncodeOptions): EncodedCall;
  /**
   * Submits work on buffers that are lent for it, and reads its results.
   *
   * @param bytes of its input, for errors
   * @throws WebGpuDeviceLostError, WebGpuValidationError, OutOfDeviceMemoryError
   */
  run<Output>(
    bytes: number,
    submit: (buffers: CallBuffers) => void,
    read: (buffers: CallBuffers) => Promise<Output>,
  ): Promise<Output>;
}

let readParts: (router: WebGpuRouter) => RouterParts;

/** The parts of a router, for the gate before it: they are no part of what programs see. */
export function partsOf(router: WebGpuRouter): RouterParts {
  return readParts(router);
}

/** A router on a WebGPU device. Made by `createWebGpuRouter`. */
export class WebGpuRouter implements Router {
  readonly backend = 'webgpu';
  readonly device: string;
  readonly config: ResolvedRouterConfig;
  /** How the lanes of a token exchange keys: by subgroup operations, or through workgroup memory. */
  readonly path: ExchangePath;
  /** The device that `encode` takes buffers of. */
  readonly gpuDevice: GPUDevice;
  readonly #sharedDevice: SharedDevice;
  readonly #pipelines: RouterPipelines;
  readonly #encoder: DispatchEncoder;
  readonly #uniforms: SharedUniforms;
  readonly #pool: CallBufferPool;
  readonly #calls = new Set<Promise<RouterOutput>>();
  #disposal: Promise<void> | null = null;

  static {
    readParts = (router) => ({
      encoder: router.#encoder,
      pipelines: router.#pipelines,
      uniforms: router.#uniforms,
      checkCall: (buffers, options) => router.#checkCall(buffers, options),
      run: (bytes, submit, read) => router.#run(bytes, submit, read),
    });
  }

  /** Takes over one count of `sharedDevice.acquire()`. */
  constructor(config: ResolvedRouterConfig, sharedDevice: SharedDevice, path: ExchangePath) {
    const { gpuDevice, name } = sharedDevice;
    this.config = config;
    this.device = name;
    this.path = path;
    this.gpuDevice = gpuDevice;
    this.#sharedDevice = sharedDevice;
    this.#pipelines = new RouterPipelines(config, sharedDevice, path);
    this.#encoder = new DispatchEncoder(config, gpuDevice, this.#pipelines);
    this.#uniforms = new SharedUniforms(gpuDevice);
    this.#pool = new CallBufferPool(() => new CallBuffers(config, gpuDevice));
  }

  /**
   * Makes a router on an acquired device, and compiles its first pipeline.
   *
   * @throws InvalidConfigError, KernelCompileError, WebGpuDeviceLostError
   */
  static async create(
    config: RouterConfig,
    sharedDevice: SharedDevice,
    path: ExchangePath | 'auto' = 'auto',
  ): Promise<WebGpuRouter> {
    const resolved = resolveRouterConfig(config);
    const hasSubgroups = sharedDevice.minSubgroupSize > 1;
    if (path === 'subgroups' && !hasSubgroups) {
      throw new InvalidConfigError(
        'path',
        path,
        `The path 'subgroups' needs subgroup operations · found none on the WebGPU device ${sharedDevice.name} · leave path at 'auto'`,
      );
    }
    sharedDevice.checkAlive('createWebGpuRouter');
    const chosen = path === 'auto' ? (hasSubgroups ? 'subgroups' : 'workgroup') : path;
    const pipelines = new RouterPipelines(resolved, sharedDevice, chosen);
    await pipelines.checkCode({ tokenRange: 'few', isAligned: true, hasPadding: false, isContiguous: true });
    const { gpuDevice } = sharedDevice;
    gpuDevice.pushErrorScope('out-of-memory');
    const router = new WebGpuRouter(resolved, sharedDevice, chosen);
    try {
      const failure = await gpuDevice.popErrorScope();
      sharedDevice.checkAlive('createWebGpuRouter');
      if (failure !== null) throw fromGpuError('createWebGpuRouter', resolved.experts * 4, failure);
      return router;
    } catch (error) {
      router.#encoder.destroy();
      throw error;
    }
  }

  /**
   * See `Router.route`. Calls may overlap.
   *
   * @throws InvalidArgumentError, DisposedError, WebGpuDeviceLostError, WebGpuValidationError, OutOfDeviceMemoryError
   */
  async route(logits: Logits, options?: RouteOptions): Promise<RouterOutput> {
    this.#requireAlive('route');
    const call = checkRouteArguments(this.config, logits, options);
    if (call.tokens === 0) return this.#emptyOutput();
    const running = this.#run(
      logits.byteLength,
      (buffers) => this.#submit(buffers, logits, call),
      (buffers) => buffers.read(call.tokens),
    );
    this.#calls.add(running);
    try {
      return await running;
    } finally {
      this.#calls.delete(running);
    }
  }

  /**
   * Writes the router's dispatches into a compute pass of the caller, for logits that are on the GPU already. The
   * first call of a kind (few or many tokens, aligned or not, with gaps, padding or neither) compiles its shader. The pass is
   * left with the router's pipeline and bind group 0 set. Dispose of the router only after the pass was submitted.
   *
   * @throws InvalidArgumentError, DisposedError, WebGpuDeviceLostError, OutOfDeviceMemoryError
   */
  encode(pass: GPUComputePassEncoder, buffers: RouterGpuBuffers, options: EncodeOptions): void {
    const call = this.#checkCall(buffers, options);
    this.#encoder.encode(pass, buffers, call, this.#uniforms);
  }

  /** See `Router.dispose`. Calls under way are finished first. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#free();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #checkCall(buffers: RouterGpuBuffers, options: EncodeOptions): EncodedCall {
    this.#requireAlive('encode');
    const call = checkEncodeOptions(this.config, options);
    const { minStorageBufferOffsetAlignment } = this.gpuDevice.limits;
    checkGpuBuffers(this.config, buffers, call.tokens, call.rowStride, minStorageBufferOffsetAlignment);
    return call;
  }

  async #run<Output>(
    bytes: number,
    submit: (buffers: CallBuffers) => void,
    read: (buffers: CallBuffers) => Promise<Output>,
  ): Promise<Output> {
    const { gpuDevice } = this;
    // Scopes are a stack of the device: everything between push and pop happens before the first await.
    gpuDevice.pushErrorScope('internal');
    gpuDevice.pushErrorScope('out-of-memory');
    gpuDevice.pushErrorScope('validation');
    const buffers = this.#pool.take();
    let reading: Promise<Output>;
    try {
      submit(buffers);
      reading = read(buffers);
    } catch (error) {
      reading = Promise.reject(error);
    }
    const scopes = Promise.all([gpuDevice.popErrorScope(), gpuDevice.popErrorScope(), gpuDevice.popErrorScope()]);
    try {
      const [found] = await Promise.allSettled([scopes, reading]);
      if (found.status === 'fulfilled') {
        const [validation, memory, internal] = found.value;
        // What has no memory is invalid in every later use.
        const error = memory ?? internal ?? validation;
        if (error !== null) throw fromGpuError('route', bytes, error);
      }
      const output = await reading;
      this.#pool.giveBack(buffers);
      return output;
    } catch (error) {
      buffers.destroy();
      if (await this.#isLost()) throw this.#sharedDevice.lostError('route', { cause: error });
      throw error;
    }
  }

  #submit(buffers: CallBuffers, logits: Logits, call: ResolvedRouteArguments): void {
    const { gpuDevice } = this;
    const { tokens, rowStride, paddingMask } = call;
    const ranges = buffers.prepare(tokens, paddingMask);
    const rowBytes = rowStride * logitBytes(this.config.logitsDtype);
    const step = Math.min(
      this.#encoder.sliceTokens(rowStride),
      Math.max(256, Math.floor(UPLOAD_BYTES / rowBytes / 256) * 256),
    );
    for (let first = 0; first < tokens; first += step) {
      const count = Math.min(step, tokens - first);
      const slice = bytesOfElements(logits, first * rowStride, (count - 1) * rowStride + this.config.experts);
      const onDevice = { ...ranges, logits: buffers.uploadLogits(slice) };
      const commands = gpuDevice.createCommandEncoder();
      const pass = commands.beginComputePass();
      this.#encoder.encodeSlice(pass, onDevice, call, first, count, buffers.uniforms);
      const isLast = first + count === tokens;
      if (isLast) this.#encoder.encodePlan(pass, onDevice, tokens, buffers.uniforms, buffers);
      pass.end();
      if (isLast) buffers.encodeReadback(commands, tokens);
      gpuDevice.queue.submit([commands.finish()]);
    }
  }

  #emptyOutput(): RouterOutput {
    const { idsDtype, tokenExpertIndices, dispatchPlan, experts } = this.config;
    const IdsArray = { i32: Int32Array, u32: Uint32Array, i64: BigInt64Array }[idsDtype];
    return {
      tokens: 0,
      ids: new IdsArray(0),
      weights: new Float32Array(0),
      ...(tokenExpertIndices && { tokenExpertIndices: new Int32Array(0) }),
      ...(dispatchPlan && { dispatchPlan: buildDispatchPlan(new Int32Array(0), experts, tileShapeOf(this.config)) }),
    };
  }

  async #free(): Promise<void> {
    await Promise.allSettled(this.#calls);
    this.#pool.destroy();
    this.#uniforms.destroy();
    this.#encoder.destroy();
    this.#sharedDevice.release();
  }

  /** Whether the device is lost. A failed call may be reported before the loss that caused it. */
  async #isLost(): Promise<boolean> {
    if (!this.#sharedDevice.isLost)
      await Promise.race([this.gpuDevice.lost, this.gpuDevice.queue.onSubmittedWorkDone().catch(() => null)]);
    return this.#sharedDevice.isLost;
  }

  #requireAlive(operation: string): void {
    if (this.#disposal !== null) throw new DisposedError('router (webgpu)');
    this.#sharedDevice.checkAlive(operation);
  }
}

function checkEncodeOptions(config: ResolvedRouterConfig, options: EncodeOptions): EncodedCall {
  refuseUnknownOptions(ENCODE_OPTIONS, options);
  const { tokens, rowStride = config.experts, rowCount = tokens } = options;
  const mostTokens = Math.floor((2 ** 31 - 1) / config.topK);
  checkInteger('tokens', tokens, 0, mostTokens);
  checkInteger('rowStride', rowStride, config.experts, Number.MAX_SAFE_INTEGER);
  checkInteger('rowCount', rowCount, 0, tokens);
  return { tokens, rowStride, rowCount };
}

function checkInteger(argument: string, value: number, least: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw new InvalidArgumentError(
    argument,
    value,
    `${argument} must be an integer from ${least} to ${most} · found ${value} · route more in several calls`,
  );
}
