/** The GatedRouter wherever there is WebGPU. */

import { fromGpuError } from '@switchyard/gpu/webgpu';
import type { GpuRange, UniformSource } from '@switchyard/gpu/webgpu';
import type { ResolvedRouteArguments, RouteOptions } from '../contract.ts';
import { DisposedError, InvalidArgumentError } from '../errors.ts';
import type {
  GatedRouter,
  GatedRouterOutput,
  GateShape,
  HiddenStates,
  ResolvedGatedRouterConfig,
} from '../gate/gate-contract.ts';
import { checkGatedRouteArguments, hiddenBytes } from '../gate/resolve-gate.ts';
import { knownOptions, refuseUnknownOptions } from '../known-options.ts';
import { bytesOfElements } from '../typed-arrays.ts';
import type { EncodedCall } from './dispatch-encoder.ts';
import { GateEncoder } from './gate-encoder.ts';
import { FusedGateEncoder } from './fused-gate-encoder.ts';
import { checkGateBuffers } from './gpu-ranges.ts';
import type { RouterGpuBuffers } from './gpu-ranges.ts';
import { GATE_ROWS } from './kernel/gate-values.ts';
import { partsOf } from './webgpu-router.ts';
import type { EncodeOptions, RouterParts, WebGpuRouter } from './webgpu-router.ts';

/** The buffers of one `encode` call: those of the router, and the gate's. `hidden` shares no buffer with an output. */
export interface GatedRouterGpuBuffers extends RouterGpuBuffers {
  /** [T, rowStride] in the router's dtype of hidden states, from a multiple of 16 bytes on; usage STORAGE. */
  readonly hidden: GpuRange;
  /** f32 [T, E], written, from a multiple of 16 bytes on, in a buffer of its own; usage STORAGE. */
  readonly logits: GpuRange;
}

const GATED_ENCODE_OPTIONS = knownOptions<EncodeOptions>('encode option', InvalidArgumentError, {
  tokens: true,
  rowStride: true,
  rowCount: true,
});

/** GPUBufferUsage and GPUMapMode, whose globals Node does not have. */
const STORAGE_COPY_DST = 0x88;
const STORAGE_COPY_SRC = 0x84;
const MAP_READ_COPY_DST = 0x9;
const READ = 1;
/** Bytes of hidden states that `route` uploads at once. */
const UPLOAD_BYTES = 2 ** 26;

/**
 * A gated router on a WebGPU device. Made by `createWebGpuGatedRouter`. Of up to GATE_ROWS tokens, gate projection, router and
 * dispatch plan are one dispatch; of more, dispatches of one pass. What the one needs beyond the limits that every device has is
 * asked of the device, and where it is not there few tokens are routed as many are. Results are the same to the bit.
 */
export class WebGpuGatedRouter implements GatedRouter {
  readonly backend = 'webgpu';
  readonly device: string;
  readonly config: GateShape;
  /** The device that `encode` takes buffers of. */
  readonly gpuDevice: GPUDevice;
  readonly #router: WebGpuRouter;
  readonly #parts: RouterParts;
  readonly #gate: GateEncoder;
  readonly #fused: FusedGateEncoder;
  readonly #calls = new Set<Promise<GatedRouterOutput>>();
  #disposal: Promise<void> | null = null;

  private constructor(router: WebGpuRouter, gate: GateEncoder, fused: FusedGateEncoder) {
    this.device = router.device;
    this.config = gate.shape;
    this.gpuDevice = router.gpuDevice;
    this.#router = router;
    this.#parts = partsOf(router);
    this.#gate = gate;
    this.#fused = fused;
  }

  /**
   * Puts a gate before a router of its logits, which is disposed of with it, or where this fails.
   *
   * @throws KernelCompileError, OutOfDeviceMemoryError
   */
  static async create(config: ResolvedGatedRouterConfig, router: WebGpuRouter): Promise<WebGpuGatedRouter> {
    const { encoder, pipelines } = partsOf(router);
    const { gpuDevice, device } = router;
    let gate: GateEncoder | null = null;
    try {
      gate = await GateEncoder.create(config, gpuDevice, device);
      const usual = { tokenRange: 'few', isAligned: true, hasPadding: false, isContiguous: false } as const;
      await pipelines.checkCode(usual, gate.shape);
      gpuDevice.pushErrorScope('out-of-memory');
      const fused = new FusedGateEncoder({ gate, encoder, pipelines }, gpuDevice);
      const failure = await gpuDevice.popErrorScope();
      if (failure === null) return new WebGpuGatedRouter(router, gate, fused);
      fused.destroy();
      throw fromGpuError('createWebGpuGatedRouter', fused.bytes, failure);
    } catch (error) {
      gate?.destroy();
      await router.dispose();
      throw error;
    }
  }

  /**
   * See `GatedRouter.route`. Calls may overlap. Of more than GATE_ROWS tokens, the logits come to the host before they are
   * routed; `encode` leaves them on the device.
   *
   * @throws InvalidArgumentError, DisposedError, WebGpuDeviceLostError, WebGpuValidationError, OutOfDeviceMemoryError
   */
  async route(hidden: HiddenStates, options: RouteOptions = {}): Promise<GatedRouterOutput> {
    this.#requireAlive();
    const args = checkGatedRouteArguments(this.config, hidden, options);
    const running = this.#run(hidden, args);
    this.#calls.add(running);
    try {
      return await running;
    } finally {
      this.#calls.delete(running);
    }
  }

  /**
   * Writes the gate projection and the router's dispatches into a compute pass of the caller. See `WebGpuRouter.encode`;
   * `rowStride` is that of the hidden states, in elements, H by default, and of whole 16 bytes.
   *
   * @throws InvalidArgumentError, DisposedError, WebGpuDeviceLostError, OutOfDeviceMemoryError
   */
  encode(pass: GPUComputePassEncoder, buffers: GatedRouterGpuBuffers, options: EncodeOptions): void {
    this.#requireAlive();
    refuseUnknownOptions(GATED_ENCODE_OPTIONS, options);
    const { rowStride = this.config.hiddenSize, ...routing } = options;
    const { hidden, ...ofRouter } = buffers;
    const call = this.#parts.checkCall(ofRouter, routing);
    this.#gate.checkBuffers({ hidden, logits: buffers.logits }, call.tokens, rowStride);
    checkGateBuffers(hidden, ofRouter);
    this.#encode(pass, buffers, call, rowStride, this.#parts.uniforms);
  }

  /** See `GatedRouter.dispose`. Calls under way are finished first. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#free();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #run(hidden: HiddenStates, args: ResolvedRouteArguments): Promise<GatedRouterOutput> {
    const { tokens, paddingMask, rowCount } = args;
    const rows = contiguousRows(this.config, hidden, args);
    const { router, hiddenSize } = this.config;
    if (tokens > 0 && tokens <= GATE_ROWS) {
      const call = { tokens, rowStride: router.experts, rowCount };
      return this.#parts.run(
        rows.byteLength,
        (buffers) => {
          const ranges = { ...buffers.prepareGate(rows, tokens), ...buffers.prepare(tokens, paddingMask) };
          const commands = this.gpuDevice.createCommandEncoder();
          const pass = commands.beginComputePass();
          this.#encode(pass, ranges, call, hiddenSize, buffers.uniforms);
          pass.end();
          buffers.encodeReadback(commands, tokens);
          buffers.encodeLogitsReadback(commands, tokens);
          this.gpuDevice.queue.submit([commands.finish()]);
        },
        async (buffers) => {
          const [output, routerLogits] = await Promise.all([buffers.read(tokens), buffers.readLogits(tokens)]);
          return { ...output, routerLogits };
        },
      );
    }
    const mask = paddingMask === null ? {} : { paddingMask: paddingMask.slice(0, tokens) };
    const rowBytes = rows.byteLength / Math.max(tokens, 1);
    const step = Math.max(1, Math.floor(UPLOAD_BYTES / Math.max(rowBytes, 1)));
    const routerLogits = new Float32Array(tokens * router.experts);
    for (let first = 0; first < tokens; first += step) {
      const count = Math.min(step, tokens - first);
      const slice = rows.subarray(first * rowBytes, (first + count) * rowBytes);
      routerLogits.set(await this.#project(slice, count), first * router.experts);
    }
    return { ...(await this.#router.route(routerLogits, { tokens, rowCount, ...mask })), routerLogits };
  }

  /** Writes the dispatches of a call whose buffers are checked. */
  #encode(
    pass: GPUComputePassEncoder,
    { hidden, ...buffers }: GatedRouterGpuBuffers,
    call: EncodedCall,
    rowStride: number,
    uniforms: UniformSource,
  ): void {
    if (call.tokens > 0) {
      const bound = this.#gate.bindHidden(hidden, call.tokens, rowStride);
      if (this.#fused.encode(pass, bound, buffers, call, uniforms)) return;
      this.#gate.encode(pass, bound, buffers.logits, call.tokens, uniforms);
    }
    this.#parts.encoder.encode(pass, buffers, call, uniforms);
  }

  /** The logits of T hidden states. */
  async #project(rows: Uint8Array<ArrayBuffer>, tokens: number): Promise<Float32Array> {
    const { gpuDevice } = this;
    const bytes = tokens * this.config.router.experts * 4;
    gpuDevice.pushErrorScope('out-of-memory');
    gpuDevice.pushErrorScope('validation');
    const buffer = (label: string, size: number, usage: number): GPUBuffer =>
      gpuDevice.createBuffer({ label, size: Math.max(size, 16), usage });
    const hidden = buffer('hidden states', rows.byteLength, STORAGE_COPY_DST);
    const logits = buffer('router logits', bytes, STORAGE_COPY_SRC);
    const readback = buffer('router logits, read back', bytes, MAP_READ_COPY_DST);
    try {
      gpuDevice.queue.writeBuffer(hidden, 0, rows);
      const commands = gpuDevice.createCommandEncoder();
      const pass = commands.beginComputePass();
      const bound = this.#gate.bindHidden({ buffer: hidden }, tokens, this.config.hiddenSize);
      this.#gate.encode(pass, bound, { buffer: logits }, tokens, this.#parts.uniforms);
      pass.end();
      commands.copyBufferToBuffer(logits, 0, readback, 0, bytes);
      gpuDevice.queue.submit([commands.finish()]);
      const mapping = readback.mapAsync(READ, 0, bytes);
      const scopes = Promise.all([gpuDevice.popErrorScope(), gpuDevice.popErrorScope()]);
      const [found, mapped] = await Promise.allSettled([scopes, mapping]);
      const [invalid, full] = found.status === 'fulfilled' ? found.value : [null, null];
      const error = full ?? invalid;
      if (error !== null) throw fromGpuError('route', rows.byteLength, error);
      if (mapped.status === 'rejected') throw mapped.reason;
      return new Float32Array(readback.getMappedRange(0, bytes).slice(0));
    } finally {
      for (const each of [hidden, logits, readback]) each.destroy();
    }
  }

  async #free(): Promise<void> {
    await Promise.allSettled(this.#calls);
    this.#gate.destroy();
    this.#fused.destroy();
    await this.#router.dispose();
  }

  #requireAlive(): void {
    if (this.#disposal !== null) throw new DisposedError('gated router (webgpu)');
  }
}

/** A copy of the hidden states, one after the other. */
function contiguousRows(
  { hiddenSize, hiddenDtype }: GateShape,
  hidden: HiddenStates,
  { tokens, rowStride }: ResolvedRouteArguments,
): Uint8Array<ArrayBuffer> {
  const rowBytes = hiddenSize * hiddenBytes(hiddenDtype);
  const rows = new Uint8Array(tokens * rowBytes);
  for (let token = 0; token < tokens; token++) {
    rows.set(bytesOfElements(hidden, token * rowStride, hiddenSize), token * rowBytes);
  }
  return rows;
}
