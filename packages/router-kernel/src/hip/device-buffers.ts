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
      `tokens must be 0 or more with T * K below 2^31 · found ${tokens} · route more in several calls`,
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
      'This router makes a dispatch plan · found no buffers for it · pass those that it goes to',
    );
  }
  const { expertTiles = 0n } = dispatchPlan;
  if (config.expertTiles !== null && expertTiles === 0n) {
    throw new InvalidArgumentError(
      'dispatchPlan.expertTiles',
      expertTiles,
      'This router lists expert tiles · found no buffer for them · pass one of expertTilesLength elements',
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
    `rowStride must be an integer from ${columns} to ${mostStride} · found ${rowStride} · count elements from one row's start to the next's`,
  );
}

/** Refuses a pointer that is null or no multiple of 16. @throws InvalidArgumentError */
export function requireAligned(argument: string, pointer: DevicePointer): void {
  if (pointer !== 0n && pointer % 16n === 0n) return;
  throw new InvalidArgumentError(
    argument,
    pointer,
    `${argument} must be a device address that 16 divides · found 0x${pointer.toString(16)} · pass memory of its own allocation`,
  );
}

/** The error for a shape whose kernel is not loaded. @throws InvalidArgumentError */
export function refuseUnprepared(symbol: string, tokens: number): never {
  throw new InvalidArgumentError(
    'tokens',
    tokens,
    `enqueue never compiles · found the kernel ${symbol} not loaded · await prepare() with this shape first`,
  );
}
