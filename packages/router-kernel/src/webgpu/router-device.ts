/** A WebGPU device as routers share it: who uses it, what it can do, and whether it is still there. */

import type { RouterLogger } from '../create-router.ts';
import { BackendUnavailableError } from '../errors.ts';
import { WebGpuDeviceLostError } from './errors.ts';
import { PipelineCache } from './pipeline-cache.ts';

/** Features that a router uses where the adapter has them. */
const WANTED_FEATURES: readonly GPUFeatureName[] = ['subgroups', 'timestamp-query'];
/** The smallest subgroup that WebGPU allows, for implementations that do not say theirs. */
const LEAST_SUBGROUP_SIZE = 4;

/** The shared device of each GPU object, by whether it is the software adapter. */
const sharedDevices = new WeakMap<GPU, Map<boolean, Promise<RouterDevice>>>();

/** Devices that callers brought. */
const callersDevices = new WeakMap<GPUDevice, RouterDevice>();

/** What a device is asked for with. */
export interface DeviceRequest {
  /** Ask for a software adapter. Defaults to `false`. */
  readonly software?: boolean;
  readonly logger?: RouterLogger;
}

/** A device, and the number of routers on it. */
export class RouterDevice {
  readonly gpuDevice: GPUDevice;
  /** The adapter's name. */
  readonly name: string;
  /** Invocations in the smallest subgroup that the device may form; 1 where it has no subgroup operations. */
  readonly minSubgroupSize: number;
  readonly pipelines: PipelineCache;
  readonly #isOwned: boolean;
  #users = 0;
  #lost: GPUDeviceLostInfo | null = null;

  constructor(gpuDevice: GPUDevice, isOwned: boolean, logger?: RouterLogger) {
    const info: GPUAdapterInfo | undefined = gpuDevice.adapterInfo;
    this.gpuDevice = gpuDevice;
    this.pipelines = new PipelineCache(gpuDevice);
    this.#isOwned = isOwned;
    this.name = nameOf(info);
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

  /** Counts one more router. */
  acquire(): this {
    this.#users++;
    return this;
  }

  /** Counts one router less. The last one destroys the device, unless the caller brought it. */
  release(): void {
    this.#users--;
    if (this.#users > 0 || !this.#isOwned) return;
    this.gpuDevice.destroy();
    this.#lost ??= { reason: 'destroyed', message: '' } as GPUDeviceLostInfo;
  }
}

/** A device of the caller, acquired. Routers that get the same one share its pipelines. */
export function acquireCallersDevice(gpuDevice: GPUDevice, logger?: RouterLogger): RouterDevice {
  const device = callersDevices.get(gpuDevice) ?? new RouterDevice(gpuDevice, false, logger);
  callersDevices.set(gpuDevice, device);
  return device.acquire();
}

/**
 * The device that routers of one GPU object share, acquired.
 *
 * @throws BackendUnavailableError where there is no adapter, or it gives no device
 */
export async function acquireSharedDevice(gpu: GPU, request: DeviceRequest): Promise<RouterDevice> {
  const software = request.software ?? false;
  const ofGpu = sharedDevices.get(gpu) ?? new Map<boolean, Promise<RouterDevice>>();
  sharedDevices.set(gpu, ofGpu);
  const existing = ofGpu.get(software);
  if (existing !== undefined) {
    const device = await existing.catch(() => null);
    if (device !== null && !device.isLost) return device.acquire();
  }
  // Another caller may have replaced it while this one waited.
  const current = ofGpu.get(software);
  if (current !== undefined && current !== existing) return acquireSharedDevice(gpu, request);
  const requested = requestDevice(gpu, software, request.logger);
  ofGpu.set(software, requested);
  return (await requested).acquire();
}

async function requestDevice(gpu: GPU, software: boolean, logger: RouterLogger | undefined): Promise<RouterDevice> {
  let adapter: GPUAdapter | null;
  try {
    adapter = await gpu.requestAdapter(
      software ? { forceFallbackAdapter: true } : { powerPreference: 'high-performance' },
    );
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BackendUnavailableError(
      'webgpu',
      `WebGPU could not look for adapters: ${reason}. Update the GPU driver, or use backend "cpu".`,
      [`requestAdapter: ${reason}`],
      { cause },
    );
  }
  if (adapter === null) {
    const wanted = software ? 'software adapter' : 'adapter';
    throw new BackendUnavailableError(
      'webgpu',
      `WebGPU found no ${wanted}. Install a GPU driver with Vulkan, Metal or Direct3D 12, or use backend "cpu".`,
      [`requestAdapter: no ${wanted}`],
    );
  }
  const { limits } = adapter;
  try {
    const gpuDevice = await adapter.requestDevice({
      requiredFeatures: WANTED_FEATURES.filter((feature) => adapter.features.has(feature)),
      requiredLimits: {
        maxBufferSize: limits.maxBufferSize,
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      },
    });
    return new RouterDevice(gpuDevice, true, logger);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BackendUnavailableError(
      'webgpu',
      `The WebGPU adapter ${nameOf(adapter.info)} gave no device: ${reason}. Close other programs on the GPU, or use backend "cpu".`,
      [`requestDevice: ${reason}`],
      { cause },
    );
  }
}

function nameOf(info: GPUAdapterInfo | undefined): string {
  if (info === undefined) return 'WebGPU device';
  const name = [info.device, info.architecture, info.description].find((part) => part !== '') ?? 'WebGPU device';
  return info.vendor === '' ? name : `${name} (${info.vendor})`;
}
