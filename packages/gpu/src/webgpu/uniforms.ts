/** Where the dispatches of a call find their numbers. */

/** Bytes from one entry to the next: the offset alignment that every WebGPU device allows. */
const ENTRY_BYTES = 256;
/** Bytes of an entry that are bound: the largest Call structure of the shaders, rounded up to 16. */
const BOUND_BYTES = 64;
const ENTRIES = 64;
/** GPUBufferUsage.UNIFORM | COPY_DST, whose global Node does not have. */
const UNIFORM_USAGE = 0x48;

/** Gives a uniform binding that holds some numbers when the dispatches run. */
export interface UniformSource {
  put(numbers: Uint32Array<ArrayBuffer>): GPUBufferBinding;
}

/** Entries of one call, written anew by the next call that takes the same resources. */
export class CallUniforms implements UniformSource {
  readonly #device: GPUDevice;
  readonly #buffer: GPUBuffer;
  #next = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
    this.#buffer = device.createBuffer({ label: 'call numbers', size: ENTRIES * ENTRY_BYTES, usage: UNIFORM_USAGE });
  }

  put(numbers: Uint32Array<ArrayBuffer>): GPUBufferBinding {
    // The queue runs in order, so an entry is free again once the submit that read it was made. A submit reads a few.
    const offset = (this.#next++ % ENTRIES) * ENTRY_BYTES;
    this.#device.queue.writeBuffer(this.#buffer, offset, numbers);
    return { buffer: this.#buffer, offset, size: BOUND_BYTES };
  }

  destroy(): void {
    this.#buffer.destroy();
  }
}

/**
 * Entries for passes that somebody else submits, at a time unknown here: an entry is never overwritten, and calls with
 * equal numbers share one. When a buffer is full the next one is begun; the full one lives as long as the command
 * buffers that use it, and is not destroyed, since they may not have been submitted yet.
 */
export class SharedUniforms implements UniformSource {
  readonly #device: GPUDevice;
  readonly #entries = new Map<string, GPUBufferBinding>();
  #buffer: GPUBuffer | null = null;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  put(numbers: Uint32Array<ArrayBuffer>): GPUBufferBinding {
    const name = numbers.join();
    const known = this.#entries.get(name);
    if (known !== undefined) return known;
    if (this.#entries.size === ENTRIES) {
      this.#entries.clear();
      this.#buffer = null;
    }
    this.#buffer ??= this.#device.createBuffer({
      label: 'calls numbers',
      size: ENTRIES * ENTRY_BYTES,
      usage: UNIFORM_USAGE,
    });
    const binding = { buffer: this.#buffer, offset: this.#entries.size * ENTRY_BYTES, size: BOUND_BYTES };
    this.#device.queue.writeBuffer(this.#buffer, binding.offset, numbers);
    this.#entries.set(name, binding);
    return binding;
  }

  destroy(): void {
    this.#buffer?.destroy();
    this.#buffer = null;
    this.#entries.clear();
  }
}
