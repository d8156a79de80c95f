/**
 * A GPUDevice seen through a proxy that keeps account of what is alive, refuses what passes the limits it shows, and
 * can show other limits, features and faults than the device behind it has.
 */

import assert from 'node:assert/strict';

/** What the proxy shows instead of the device's own. */
export interface DeviceDisguise {
  /** Limits no larger than the device's. */
  readonly limits?: Readonly<Record<string, number>>;
  readonly features?: readonly string[];
  readonly adapterInfo?: Readonly<Partial<GPUAdapterInfo>>;
  readonly lost?: Promise<GPUDeviceLostInfo>;
  /** Changes shaders on their way to the compiler. */
  readonly rewriteCode?: (code: string) => string;
  /** Runs before each buffer is made. One that it returns is given out instead. */
  readonly makeBuffer?: (descriptor: GPUBufferDescriptor) => GPUBuffer | null;
  /** Hears the workgroups of each dispatch. */
  readonly onDispatch?: (columns: number, rows: number) => void;
}

/** Objects of a kind: made in all, and alive now. */
export interface ObjectCount {
  readonly made: number;
  readonly alive: number;
}

type Kind = 'buffer' | 'bind group' | 'command encoder' | 'compute pass';

/** A device, and what was done with it. */
export class ObservedDevice {
  /** To be given to the code under test. */
  readonly device: GPUDevice;
  readonly #disguise: DeviceDisguise;
  readonly #limits: GPUSupportedLimits;
  readonly #made = new Map<Kind, number>();
  readonly #alive = new Map<Kind, Set<object>>();
  readonly #collected = new FinalizationRegistry<{ kind: Kind; token: object }>(({ kind, token }) => {
    this.#alive.get(kind)?.delete(token);
  });

  constructor(real: GPUDevice, disguise: DeviceDisguise = {}) {
    this.#disguise = disguise;
    this.#limits = overlay(real.limits, disguise.limits ?? {});
    const shown: Readonly<Record<string, unknown>> = {
      limits: this.#limits,
      ...(disguise.features !== undefined && { features: new Set(disguise.features) }),
      ...(disguise.adapterInfo !== undefined && { adapterInfo: overlay(real.adapterInfo, disguise.adapterInfo) }),
      ...(disguise.lost !== undefined && { lost: disguise.lost }),
      createBuffer: (descriptor: GPUBufferDescriptor) => this.#createBuffer(real, descriptor),
      createBindGroup: (descriptor: GPUBindGroupDescriptor) => this.#createBindGroup(real, descriptor),
      createCommandEncoder: () => this.#createCommandEncoder(real),
      createShaderModule: (descriptor: GPUShaderModuleDescriptor) =>
        real.createShaderModule({ ...descriptor, code: disguise.rewriteCode?.(descriptor.code) ?? descriptor.code }),
    };
    this.device = overlayMethods(real, shown);
  }

  /** Objects of a kind. A buffer is alive until it is destroyed or collected, others until they are collected. */
  count(kind: Kind): ObjectCount {
    return { made: this.#made.get(kind) ?? 0, alive: this.#alive.get(kind)?.size ?? 0 };
  }

  #createBuffer(real: GPUDevice, descriptor: GPUBufferDescriptor): GPUBuffer {
    assert.ok(descriptor.size <= this.#limits.maxBufferSize, `a buffer of ${descriptor.size} bytes`);
    const buffer = this.#disguise.makeBuffer?.(descriptor) ?? real.createBuffer(descriptor);
    const forget = this.#track('buffer', buffer);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      forget();
      return destroy();
    };
    return buffer;
  }

  #createBindGroup(real: GPUDevice, descriptor: GPUBindGroupDescriptor): GPUBindGroup {
    for (const { binding, resource } of descriptor.entries) {
      assert.ok('buffer' in resource);
      const size = resource.size ?? resource.buffer.size - (resource.offset ?? 0);
      const most = this.#limits.maxStorageBufferBindingSize;
      assert.ok(size <= most, `binding ${binding} of ${size} bytes where ${most} are allowed`);
    }
    const group = real.createBindGroup(descriptor);
    this.#track('bind group', group);
    return group;
  }

  #createCommandEncoder(real: GPUDevice): GPUCommandEncoder {
    const encoder = real.createCommandEncoder();
    this.#track('command encoder', encoder);
    const begin = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = (descriptor) => {
      const pass = begin(descriptor);
      this.#track('compute pass', pass);
      const dispatch = pass.dispatchWorkgroups.bind(pass);
      pass.dispatchWorkgroups = (columns, rows = 1) => {
        const most = this.#limits.maxComputeWorkgroupsPerDimension;
        assert.ok(Math.max(columns, rows) <= most, `${columns} x ${rows} workgroups where ${most} are allowed`);
        this.#disguise.onDispatch?.(columns, rows);
        return dispatch(columns, rows);
      };
      return pass;
    };
    return encoder;
  }

  /** Counts an object. Returns what takes it from those alive. */
  #track(kind: Kind, object: object): () => void {
    const token = {};
    const alive = this.#alive.get(kind) ?? new Set();
    this.#alive.set(kind, alive);
    alive.add(token);
    this.#made.set(kind, (this.#made.get(kind) ?? 0) + 1);
    this.#collected.register(object, { kind, token });
    return () => alive.delete(token);
  }
}

function overlay<Shown extends object>(real: Shown, disguise: object): Shown {
  return new Proxy(real, {
    get: (target, name) => (name in disguise ? Reflect.get(disguise, name) : Reflect.get(target, name, target)),
  });
}

/** Lets every adapter of a GPU object, and the devices made from it, say other things of themselves. */
export function disguiseAdapter(gpu: GPU, info: Readonly<Partial<GPUAdapterInfo>>): void {
  const requestAdapter = gpu.requestAdapter.bind(gpu);
  gpu.requestAdapter = async (options) => {
    const adapter = await requestAdapter(options);
    if (adapter === null) return null;
    const requestDevice = async (descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> =>
      new ObservedDevice(await adapter.requestDevice(descriptor), { adapterInfo: info }).device;
    return overlayMethods(adapter, { requestDevice, info: overlay(adapter.info, info) });
  };
}

/** Shows some members instead of the object's own, whose methods keep their object. */
function overlayMethods<Shown extends object>(real: Shown, shown: Readonly<Record<string, unknown>>): Shown {
  return new Proxy(real, {
    get: (target, name) => {
      if (typeof name === 'string' && name in shown) return shown[name];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
