/// <reference types="@webgpu/types" preserve="true" />
/** A WebGPU device as programs share it: who uses it, what it can do, and whether it is still there. */

import { BackendUnavailableError, reasonOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { adapterName, isSoftwareAdapter, noAdapter, onlySoftware } from './adapters.ts';
import { WebGpuDeviceLostError } from './errors.ts';
import { PipelineCache } from './pipeline-cache.ts';

/** Features that a device is asked for where the adapter has them. */
const WANTED_FEATURES: readonly GPUFeatureName[] = ['subgroups', 'timestamp-query'];
/** The smallest subgroup that WebGPU allows, for implementations that do not say theirs. */
const LEAST_SUBGROUP_SIZE = 4;

/** The shared device of each GPU object, by whether it is the software adapter. */
const sharedDevices = new WeakMap<GPU, Map<boolean, Promise<SharedDevice>>>();

/** Devices that callers brought. */
const callersDevices = new WeakMap<GPUDevice, SharedDevice>();

/** What a device is asked for with. */
export interface DeviceRequest {
  /** Ask for a software adapter. Defaults to `false`. */
  readonly software?: boolean;
  /** Refuse an adapter that computes on the CPU. Defaults to `false`. */
  readonly hardwareOnly?: boolean;
  readonly logger?: Logger;
}

/** A device, and the number of its users. */
export class SharedDevice {
  readonly gpuDevice: GPUDevice;
  /** The adapter's name. */
  readonly name: string;
  /** Invocations in the smallest subgroup that the device may form; 1 where it has no subgroup operations. */
  readonly minSubgroupSize: number;
  /** Whether the adapter computes on the CPU. */
  readonly isSoftware: boolean;
  readonly pipelines: PipelineCache;
  readonly #isOwned: boolean;
  #users = 0;
  #lost: GPUDeviceLostInfo | null = null;

  constructor(gpuDevice: GPUDevice, isOwned: boolean, logger?: Logger) {
    const info: GPUAdapterInfo | undefined = gpuDevice.adapterInfo;
    this.gpuDevice = gpuDevice;
    this.pipelines = new PipelineCache(gpuDevice);
    this.#isOwned = isOwned;
    this.name = adapterName(info);
    this.isSoftware = isSoftwareAdapter(info);
    this.minSubgroupSize = gpuDevice.features.has('subgroups') ? (info?.subgroupMinSize ?? LEAST_SUBGROUP_SIZE) : 1;
    void gpuDevice.lost.then((lost) => {
      this.#lost = lost;
      if (lost.reason !== 'destroyed') logger?.warn?.(`The WebGPU device ${this.name} was lost: ${lost.message}`);
    });
  }

  /** Whether the device was lost or destroyed. */
  get isLost(): boolean {
    return this.#lost !== null;
  }

  /** The error that a call on a lost device throws. */
  lostError(operation: string, options?: ErrorOptions): WebGpuDeviceLostError {
    return new WebGpuDeviceLostError(operation, this.#lost?.reason ?? 'unknown', this.#lost?.message ?? '', options);
  }

  /** @throws WebGpuDeviceLostError */
  checkAlive(operation: string): void {
    if (this.isLost) throw this.lostError(operation);
  }

  /** Counts one more user. */
  acquire(): this {
    this.#users++;
    return this;
  }

  /** Counts one user less. The last one destroys the device, unless the caller brought it. */
  release(): void {
    this.#users--;
    if (this.#users > 0 || !this.#isOwned) return;
    this.gpuDevice.destroy();
    this.#lost ??= { reason: 'destroyed', message: '' } as GPUDeviceLostInfo;
  }
}

/** A device of the caller, acquired. Those that get the same one share its pipelines. */
export function acquireCallersDevice(gpuDevice: GPUDevice, logger?: Logger): SharedDevice {
  const device = callersDevices.get(gpuDevice) ?? new SharedDevice(gpuDevice, false, logger);
  callersDevices.set(gpuDevice, device);
  return device.acquire();
}

/**
 * The device that the users of one GPU object share, acquired.
 *
 * @throws BackendUnavailableError where there is no adapter, it gives no device, or it is software and refused
 */
export async function acquireSharedDevice(gpu: GPU, request: DeviceRequest): Promise<SharedDevice> {
  const device = await acquireAnyDevice(gpu, request);
  if (request.hardwareOnly !== true || !device.isSoftware) return device;
  device.release();
  throw onlySoftware([device.name]);
}

async function acquireAnyDevice(gpu: GPU, request: DeviceRequest): Promise<SharedDevice> {
  const software = request.software ?? false;
  const ofGpu = sharedDevices.get(gpu) ?? new Map<boolean, Promise<SharedDevice>>();
  sharedDevices.set(gpu, ofGpu);
  const existing = ofGpu.get(software);
  if (existing !== undefined) {
    const device = await existing.catch(() => null);
    if (device !== null && !device.isLost) return device.acquire();
  }
  // Another caller may have replaced it while this one waited.
  const current = ofGpu.get(software);
  if (current !== undefined && current !== existing) return acquireAnyDevice(gpu, request);
  const requested = requestDevice(gpu, software, request.logger);
  ofGpu.set(software, requested);
  return (await requested).acquire();
}

async function requestDevice(gpu: GPU, software: boolean, logger: Logger | undefined): Promise<SharedDevice> {
  let adapter: GPUAdapter | null;
  try {
    adapter = await gpu.requestAdapter(
      software ? { forceFallbackAdapter: true } : { powerPreference: 'high-performance' },
    );
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new BackendUnavailableError(
      'webgpu',
      `WebGPU could not look for adapters · found ${reason} · update the GPU driver, or use backend "cpu"`,
      [`requestAdapter: ${reason}`],
      { cause },
    );
  }
  if (adapter === null) throw noAdapter(software ? 'software adapter' : 'adapter');
  const { limits } = adapter;
  try {
    const gpuDevice = await adapter.requestDevice({
      requiredFeatures: WANTED_FEATURES.filter((feature) => adapter.features.has(feature)),
      requiredLimits: {
        maxBufferSize: limits.maxBufferSize,
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
        maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      },
    });
    return new SharedDevice(gpuDevice, true, logger);
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new BackendUnavailableError(
      'webgpu',
      `The WebGPU adapter ${adapterName(adapter.info)} gave no device: ${reason}. Close other programs on the GPU, or use backend "cpu".`,
      [`requestDevice: ${reason}`],
      { cause },
    );
  }
}
