/** A NativeRuntime whose calls are checked: every status becomes an error that names the call, the code and the device. */

import { DeviceError, DisposedError, OutOfDeviceMemoryError } from '../errors.ts';
import { withVariables } from './environment-notes.ts';
import type { GpuDeviceInfo } from './gpu-driver.ts';
import { type NativeRuntime, type SharedCall, Status } from './native-calls.ts';
import { NativeMemory } from './native-memory.ts';
import type { StatusFunction } from './shared-library.ts';

/** One opened device, until it is closed. */
export class CheckedRuntime {
  readonly native: NativeRuntime;
  readonly calls: Readonly<Record<SharedCall, StatusFunction>>;
  readonly info: GpuDeviceInfo;
  /** Two words for out parameters. Calls are synchronous, so one pair serves all. */
  readonly out = new NativeMemory(16);
  #isClosed = false;

  constructor(native: NativeRuntime) {
    this.native = native;
    this.calls = native.calls;
    this.info = native.info;
  }

  /**
   * Makes the device current on the calling thread. Before every call: other code, or a driver of another device, may
   * have chosen another.
   *
   * @throws DisposedError after `close()`
   */
  activate(): void {
    if (this.#isClosed) throw new DisposedError(`GPU driver (${this.info.name})`);
    this.native.activate();
  }

  /** Gives the device back. Calling it again does nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.native.close();
  }

  /** The pointer or handle that the last call wrote. */
  outPointer(): bigint {
    return this.out.view.getBigUint64(0, true);
  }

  /** A release that runs once, and not after the device itself is given back, when the runtime has freed everything. */
  once(call: SharedCall, release: () => number): () => void {
    let isReleased = false;
    return () => {
      if (isReleased || this.#isClosed) return;
      isReleased = true;
      this.activate();
      this.check(call, release());
    };
  }

  /**
   * @param call one of the shared calls, or another by its own name
   * @throws DeviceError
   */
  check(call: string, status: number, detail?: string): void {
    if (status !== Status.success) this.fail(call, status, detail);
  }

  /** @throws OutOfDeviceMemoryError, DeviceError */
  checkAllocation(call: SharedCall, status: number, bytes: number): void {
    if (status === Status.outOfMemory) {
      const message =
        `${this.#nameOf(call)} could not get ${bytes} bytes on ${this.info.name} · ` +
        `${this.native.statusName(status)} (${status}) · free memory, or ask for less at a time`;
      throw new OutOfDeviceMemoryError('hip', bytes, message);
    }
    this.check(call, status);
  }

  /** @throws DeviceError */
  fail(call: string, status: number, detail?: string): never {
    const name = this.native.statusName(status);
    const advice =
      status === Status.noBinaryForGpu
        ? `the code object was not built for ${withVariables(this.info.architecture, this.info.platform)}`
        : 'see the runtime documentation of this status';
    const about = detail === undefined ? '' : ` (${detail})`;
    const message = `${this.#nameOf(call)}${about} failed on ${this.info.name} · ${name} (${status}) · ${advice}`;
    throw new DeviceError('hip', this.#nameOf(call), `${name} (${status})`, message);
  }

  #nameOf(call: string): string {
    const names: Readonly<Record<string, readonly string[]>> = this.native.names;
    return names[call]?.[0] ?? call;
  }
}
