/** Checks of the device memory that a call is given: what would fault or corrupt is refused before it is launched. */

import type { DevicePointer } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../contract.ts';
import { InvalidArgumentError } from '../errors.ts';

/** Where the results of a call go; see `DeviceRouteBuffers`. */
export interface DeviceOutputs {
  readonly tokens: number;
  readonly weights: DevicePointer;
  readonly ids: DevicePointer;
  readonly tokenExpertIndices?: DevicePointer;
  readonly dispatchPlan?: { readonly expertTiles?: DevicePointer };
}

/** Refuses a T that is none, and outputs that are missing or misaligned. @throws InvalidArgumentError */
export function checkOutputs(config: ResolvedRouterConfig, outputs: DeviceOutputs): void {
  const { tokens, tokenExpertIndices, dispatchPlan } = outputs;
  if (!Number.isSafeInteger(tokens) || tokens < 0 || tokens * config.topK >= 2 ** 31) {
    throw new InvalidArgumentError(
      'tokens',
      tokens,
      `tokens must be 0 or more with T * K below 2^31; found ${tokens}.`,
    );
  }
  if (tokens > 0) {
    requireAligned('weights', outputs.weights);
    requireAligned('ids', outputs.ids);
    if (config.tokenExpertIndices) requireAligned('tokenExpertIndices', tokenExpertIndices ?? 0n);
  }
  if (!config.dispatchPlan) return;
  if (dispatchPlan === undefined) {
    throw new InvalidArgumentError(
      'dispatchPlan',
      dispatchPlan,
      'This router makes a dispatch plan; pass the buffers that it goes to.',
    );
  }
  const { expertTiles = 0n } = dispatchPlan;
  if (config.expertTiles !== null && expertTiles === 0n) {
    throw new InvalidArgumentError(
      'dispatchPlan.expertTiles',
      expertTiles,
      'This router lists expert tiles; pass the buffer that they go to, of expertTilesLength elements.',
    );
  }
}

/** Refuses a stride of rows that is none. @throws InvalidArgumentError */
export function checkRowStride(rowStride: number, columns: number, elementBytes: number): void {
  const mostStride = Math.floor((2 ** 32 - 1) / elementBytes);
  if (Number.isSafeInteger(rowStride) && rowStride >= columns && rowStride <= mostStride) return;
  throw new InvalidArgumentError(
    'rowStride',
    rowStride,
    `rowStride must be an integer from ${columns} to ${mostStride}; found ${rowStride}.`,
  );
}

/** Refuses a pointer that is null or no multiple of 16. @throws InvalidArgumentError */
export function requireAligned(argument: string, pointer: DevicePointer): void {
  if (pointer !== 0n && pointer % 16n === 0n) return;
  throw new InvalidArgumentError(
    argument,
    pointer,
    `${argument} must be a device address that 16 divides; found 0x${pointer.toString(16)}.`,
  );
}

/** The error for a shape whose kernel is not loaded. @throws InvalidArgumentError */
export function refuseUnprepared(symbol: string, tokens: number): never {
  throw new InvalidArgumentError(
    'tokens',
    tokens,
    `The kernel ${symbol} is not loaded, and enqueue never compiles. Await prepare() with this shape first.`,
  );
}
