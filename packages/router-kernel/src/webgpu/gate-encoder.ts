/** The gate projection on a WebGPU device: its weights, its pipeline, its dispatch. */

import { bindRange, compileFailure, outOfMemory, PipelineCache, SharedUniforms } from '@switchyard/gpu/webgpu';
import type { BoundRange, CachedPipeline, GpuRange } from '@switchyard/gpu/webgpu';
import { InvalidArgumentError } from '../errors.ts';
import type { GateShape, ResolvedGatedRouterConfig } from '../gate/gate-contract.ts';
import { gateShapeOf, hiddenBytes } from '../gate/resolve-gate.ts';
import { gateShader, gateWorkgroups } from './kernel/gate-shader.ts';

/** Bindings of gate_projection.wgsl. */
const GATE_BINDING = { call: 0, hidden: 1, weight: 2, bias: 3, logits: 4 } as const;
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

/** Encodes the gate projection of one gate. Owns its weights on the device. */
export class GateEncoder {
  readonly shape: GateShape;
  readonly #device: GPUDevice;
  readonly #weight: GPUBuffer;
  readonly #bias: GPUBuffer | null;
  readonly #pipeline: CachedPipeline;
  readonly #uniforms: SharedUniforms;

  private constructor(config: ResolvedGatedRouterConfig, device: GPUDevice, pipeline: CachedPipeline) {
    this.shape = gateShapeOf(config);
    this.#device = device;
    this.#pipeline = pipeline;
    this.#weight = uploaded(device, 'gate weight', new Uint16Array(config.gateWeight));
    this.#bias = config.gateBias && uploaded(device, 'gate bias', new Float32Array(config.gateBias));
    this.#uniforms = new SharedUniforms(device);
  }

  /** Compiles the shader and uploads the weights. @throws KernelCompileError, OutOfDeviceMemoryError */
  static async create(config: ResolvedGatedRouterConfig, device: GPUDevice, deviceName: string): Promise<GateEncoder> {
    const weightBytes = config.gateWeight.byteLength;
    if (weightBytes > device.limits.maxStorageBufferBindingSize) throw outOfMemory(weightBytes);
    const { hasGateBias } = config;
    device.pushErrorScope('out-of-memory');
    device.pushErrorScope('validation');
    const pipeline = new PipelineCache(device).get({
      label: 'gate projection',
      code: gateShader(config),
      entryPoint: 'project_gate',
      bindings: [
        [GATE_BINDING.call, 'uniform'],
        [GATE_BINDING.hidden, 'read-only-storage'],
        [GATE_BINDING.weight, 'read-only-storage'],
        ...(hasGateBias ? ([[GATE_BINDING.bias, 'read-only-storage']] as const) : []),
        [GATE_BINDING.logits, 'storage'],
      ],
    });
    const encoder = new GateEncoder(config, device, pipeline);
    const [invalid, full] = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
    if (invalid === null && full === null) return encoder;
    encoder.destroy();
    if (full !== null) throw outOfMemory(weightBytes);
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

  /** Writes the dispatch of T tokens into a pass. The buffers are checked. @throws OutOfDeviceMemoryError */
  encode(pass: GPUComputePassEncoder, buffers: GateBuffers, tokens: number, rowStride: number): void {
    if (tokens === 0) return;
    const { hiddenSize, hiddenDtype, router } = this.shape;
    const rowBytes = rowStride * hiddenBytes(hiddenDtype);
    const hidden = this.#bind(buffers.hidden, (tokens - 1) * rowBytes + hiddenSize * hiddenBytes(hiddenDtype));
    const logits = this.#bind(buffers.logits, tokens * router.experts * 4);
    const numbers = [tokens, rowBytes / VECTOR_BYTES, hidden.lead / VECTOR_BYTES, logits.lead / 4];
    const bindGroup = this.#device.createBindGroup({
      layout: this.#pipeline.bindGroupLayout,
      entries: [
        { binding: GATE_BINDING.call, resource: this.#uniforms.put(new Uint32Array(numbers)) },
        { binding: GATE_BINDING.hidden, resource: hidden.binding },
        { binding: GATE_BINDING.weight, resource: { buffer: this.#weight } },
        ...(this.#bias === null ? [] : [{ binding: GATE_BINDING.bias, resource: { buffer: this.#bias } }]),
        { binding: GATE_BINDING.logits, resource: logits.binding },
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
    this.#weight.destroy();
    this.#bias?.destroy();
    this.#uniforms.destroy();
  }

  #bind(range: GpuRange, bytes: number): BoundRange {
    const { minStorageBufferOffsetAlignment, maxStorageBufferBindingSize } = this.#device.limits;
    const bound = bindRange(range, 0, bytes, minStorageBufferOffsetAlignment);
    if (bound.lead + bytes > maxStorageBufferBindingSize) throw outOfMemory(bound.lead + bytes);
    return bound;
  }
}

/** A buffer with an array's values, whose bytes are a multiple of 4 or, of one number, come to be. */
function uploaded(
  device: GPUDevice,
  label: string,
  values: Uint16Array<ArrayBuffer> | Float32Array<ArrayBuffer>,
): GPUBuffer {
  const buffer = device.createBuffer({ label, size: Math.max(values.byteLength, VECTOR_BYTES), usage: STORAGE_USAGE });
  device.queue.writeBuffer(buffer, 0, values);
  return buffer;
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
