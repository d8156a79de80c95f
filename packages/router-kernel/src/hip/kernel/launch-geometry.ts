/** How many lanes share a token, and how the row is searched, for a shape and a number of tokens. */

import type { ResolvedRouterConfig } from '../../contract.ts';

/** The shape of a launch. */
export interface LaunchGeometry {
  /** A power of two up to the wave size. */
  readonly lanesPerToken: number;
  /** Neighbouring experts that the first search takes as one; 1 for a single search over all experts. */
  readonly chunk: number;
  readonly threadsPerBlock: number;
}

/** Chooses the geometry. `loadBytes` is what one load brings. */
export function chooseGeometry(
  config: ResolvedRouterConfig,
  target: { readonly waveSize: 32 | 64 },
  launch: { readonly tokens: number; readonly loadBytes: number },
): LaunchGeometry {
  const bytes = config.logitsDtype === 'f32' ? 4 : 2;
  const loads = Math.ceil((config.experts * bytes) / launch.loadBytes);
  const wanted = launch.tokens < 4096 ? 16 : launch.tokens < 16384 ? 8 : 4;
  const isWide = config.logitsDtype === 'f32' || config.correctionBias !== null || config.groups > 1;
  const mostPerLane = isWide ? 16 : 32;
  const fewest = Math.ceil(config.experts / mostPerLane);
  const lanesPerToken = Math.min(target.waveSize, nextPowerOfTwo(loads), Math.max(wanted, nextPowerOfTwo(fewest)));
  const threadsPerBlock = launch.tokens < 4096 ? 64 : 128;
  return { lanesPerToken, chunk: 1, threadsPerBlock };
}

/** The smallest power of two that is at least `value`. */
export function nextPowerOfTwo(value: number): number {
  return value <= 1 ? 1 : 2 ** Math.ceil(Math.log2(value));
}
