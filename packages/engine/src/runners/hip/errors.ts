/** Failures of the GPU runner. */

import { describeBytes } from '../../describe-bytes.ts';
import { EngineError } from '../../errors.ts';

/** A checkpoint that the kernels are not written for. Nothing was loaded. */
export class UnsupportedWeightsError extends EngineError {
  override readonly name = 'UnsupportedWeightsError';
  readonly code = 'UNSUPPORTED_WEIGHTS';
  constructor(found: string, needed: string) {
    super(`The GPU runner cannot take this checkpoint · found ${found} · it needs ${needed}: use --runner onnxruntime`);
  }
}

/** The device's memory does not hold the model. Nothing was read. */
export class DeviceMemoryError extends EngineError {
  override readonly name = 'DeviceMemoryError';
  readonly code = 'DEVICE_MEMORY';
  readonly neededBytes: number;
  readonly freeBytes: number;
  constructor(device: string, neededBytes: number, freeBytes: number) {
    super(
      `The model does not fit ${device} · found ${describeBytes(freeBytes)} free where weights, workspace and KV cache take ${describeBytes(neededBytes)} · free device memory, lower kvCacheBytes (--kv-cache-mib), or use --runner onnxruntime`,
    );
    this.neededBytes = neededBytes;
    this.freeBytes = freeBytes;
  }
}

/** A step did not end. The device has to be taken for lost: every later step fails with this too. */
export class DeviceHungError extends EngineError {
  override readonly name = 'DeviceHungError';
  readonly code = 'DEVICE_HUNG';
  constructor(device: string, milliseconds: number) {
    super(
      `${device} does not finish a step · found it busy after ${milliseconds} ms · load a new engine; if it happens again, look at the driver's log (dmesg)`,
    );
  }
}
