/** The gate projection on a WebGPU device: its parameters, its pipeline, its dispatch. */

import { bindRange, compileFailure, outOfMemory, PipelineCache } from '@switchyard/gpu/webgpu';
import type { BoundRange, CachedPipeline, GpuRange, UniformSource } from '@switchyard/gpu/webgpu';
import { InvalidArgumentError } from '../errors.ts';
import type { GateShape, ResolvedGatedRouterConfig } from '../gate/gate-contract.ts';
import { gateShapeOf, hiddenBytes } from '../gate/resolve-gate.ts';
import { gateShader, gateWorkgroups } from './kernel/gate-shader.ts';
import { parameterStarts } from './kernel/gate-values.ts';
import { GATE_BINDING, ROUTE_BINDING } from './pipelines.ts';

/** GPUBufferUsage.STORAGE | COPY_DST. */
const STORAGE_USAGE = 0x88;
/** GPUBufferUsage.STORAGE */
const STORAGE = 0x80;
/** Bytes of a load of hidden states. */
const VECTOR_BYTES = 16;

/** Where hidden states come from and logits go to. */
export interface GateBuffers {
  readonly hidden: GpuRange;
  readonly logits: GpuRange;
}

/** Hidden states as they are bound. */
export interface BoundHidden {
  readonly binding: GPUBufferBinding;
  /** Vectors of 16 bytes from one row to the next, and from the start of the binding to the first. */
  readonly rowVectors: number;
  readonly startVector: number;
}

/** Encodes the gate projection of one gate. Owns its parameters on the device. */
export class GateEncoder {
  readonly shape: GateShape;
  /** The weight and the biases, as kernels/parts/gate_sums.wgsl has them; usage STORAGE. */
  readonly parameters: GPUBuffer;
  readonly #device: GPUDevice;
  readonly #pipeline: CachedPipeline;

  private constructor(config: ResolvedGatedRouterConfig, device: GPUDevice, pipeline: CachedPipeline) {
    this.shape = gateShapeOf(config);
    this.#device = device;
    this.#pipeline = pipeline;
    const values = parametersOf(config);
    this.parameters = device.createBuffer({ label: 'gate parameters', size: values.byteLength, usage: STORAGE_USAGE });
    device.queue.writeBuffer(this.parameters, 0, values);
  }

  /** Compiles the shader and uploads the parameters. @throws KernelCompileError, OutOfDeviceMemoryError */
  static async create(config: ResolvedGatedRouterConfig, device: GPUDevice, deviceName: string): Promise<GateEncoder> {
    const bytes = parameterStarts(config).vectors * VECTOR_BYTES;
    if (bytes > device.limits.maxStorageBufferBindingSize) throw outOfMemory(bytes);
    device.pushErrorScope('out-of-memory');
    device.pushErrorScope('validation');
    const pipeline = new PipelineCache(device).get({
      label: 'gate projection',
      code: gateShader(config),
      entryPoint: 'project_gate',
      bindings: [
        [GATE_BINDING.call, 'uniform'],
        [GATE_BINDING.hidden, 'read-only-storage'],
        [GATE_BINDING.parameters, 'read-only-storage'],
        [ROUTE_BINDING.logits, 'storage'],
      ],
    });
    const encoder = new GateEncoder(config, device, pipeline);
    const [invalid, full] = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
    if (invalid === null && full === null) return encoder;
    encoder.destroy();
    if (full !== null) throw outOfMemory(bytes);
    throw compileFailure('the gate projection', deviceName, invalid?.message ?? '');
  }

  /** Checks the ranges of T tokens. @throws InvalidArgumentError naming the first that is wrong */
  checkBuffers({ hidden, logits }: GateBuffers, tokens: number, rowStride: number): void {
    const { hiddenSize, hiddenDtype, router } = this.shape;
    const rowBytes = rowStride * hiddenBytes(hiddenDtype);
    if (!Number.isSafeInteger(rowStride) || rowStride < hiddenSize || rowBytes % VECTOR_BYTES !== 0) {
      throw new InvalidArgumentError(
        'rowStride',
        rowStride,
        `rowStride must be an integer of at least the hidden size, ${hiddenSize}, and of whole ${VECTOR_BYTES} bytes · found ${rowStride} · pad the rows`,
      );
    }
    checkRange('hidden', hidden, Math.max(tokens * rowBytes - rowBytes + hiddenSize * hiddenBytes(hiddenDtype), 0));
    checkRange('logits', logits, tokens * router.experts * 4);
  }

  /** Binds the hidden states of T tokens, which are checked. @throws OutOfDeviceMemoryError */
  bindHidden(range: GpuRange, tokens: number, rowStride: number): BoundHidden {
    const { hiddenSize, hiddenDtype } = this.shape;
    const rowBytes = rowStride * hiddenBytes(hiddenDtype);
    const { binding, lead } = this.#bind(range, (tokens - 1) * rowBytes + hiddenSize * hiddenBytes(hiddenDtype));
    return { binding, rowVectors: rowBytes / VECTOR_BYTES, startVector: lead / VECTOR_BYTES };
  }

  /** Writes the dispatch of at least one token into a pass. The buffers are checked. @throws OutOfDeviceMemoryError */
  encode(
    pass: GPUComputePassEncoder,
    hidden: BoundHidden,
    logitsRange: GpuRange,
    tokens: number,
    uniforms: UniformSource,
  ): void {
    const logits = this.#bind(logitsRange, tokens * this.shape.router.experts * 4);
    const numbers = [tokens, hidden.rowVectors, hidden.startVector, logits.lead / 4];
    const bindGroup = this.#device.createBindGroup({
      layout: this.#pipeline.bindGroupLayout,
      entries: [
        { binding: GATE_BINDING.call, resource: uniforms.put(new Uint32Array(numbers)) },
        { binding: GATE_BINDING.hidden, resource: hidden.binding },
        { binding: GATE_BINDING.parameters, resource: { buffer: this.parameters } },
        { binding: ROUTE_BINDING.logits, resource: logits.binding },
      ],
    });
    const workgroups = gateWorkgroups(this.shape, tokens);
    const columns = Math.min(workgroups, this.#device.limits.maxComputeWorkgroupsPerDimension);
    pass.setPipeline(this.#pipeline.pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(columns, Math.ceil(workgroups / columns));
  }

  /** Frees what the encoder owns. Passes that it wrote into must have been submitted. */
  destroy(): void {
    this.parameters.destroy();
  }

  #bind(range: GpuRange, bytes: number): BoundRange {
    const { minStorageBufferOffsetAlignment, maxStorageBufferBindingSize } = this.#device.limits;
    const bound = bindRange(range, 0, bytes, minStorageBufferOffsetAlignment);
    if (bound.lead + bytes > maxStorageBufferBindingSize) throw outOfMemory(bound.lead + bytes);
    return bound;
  }
}

/** The weight and the biases, each from a vector on. */
function parametersOf(config: ResolvedGatedRouterConfig): Uint8Array<ArrayBuffer> {
  const { gateWeight, gateBias, router } = config;
  const starts = parameterStarts(config);
  const parameters = new Uint8Array(starts.vectors * VECTOR_BYTES);
  const place = (values: ArrayBufferView, vector: number): void =>
    parameters.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), vector * VECTOR_BYTES);
  place(gateWeight, 0);
  if (gateBias !== null) place(gateBias, starts.gateBias);
  if (router.correctionBias !== null) place(router.correctionBias, starts.correctionBias);
  return parameters;
}

function checkRange(name: string, { buffer, offset = 0 }: GpuRange, bytes: number): void {
  const fits =
    Number.isSafeInteger(offset) &&
    offset >= 0 &&
    offset % VECTOR_BYTES === 0 &&
    buffer.size >= offset + bytes &&
    (buffer.usage & STORAGE) !== 0;
  if (fits) return;
  throw new InvalidArgumentError(
    name,
    offset,
    `${name} must be a range of ${bytes} bytes from a multiple of ${VECTOR_BYTES} on, in a buffer of usage STORAGE · found offset ${offset} in ${buffer.size} bytes of usage 0x${buffer.usage.toString(16)} · pass such a range`,
  );
}
