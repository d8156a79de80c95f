/** How many lanes share a token, and how the row is searched, for a shape and a number of tokens. */

import type { ResolvedRouterConfig } from '../../contract.ts';

/** The shape of a launch. */
export interface LaunchGeometry {
  /** A power of two up to the wave size. */
  readonly lanesPerToken: number;
  readonly threadsPerBlock: number;
  /** Bytes of one load. */
  readonly loadBytes: number;
}

/** Chooses the geometry. `loadBytes` is the most that the alignment of rows allows one load to bring. */
export function chooseGeometry(
  config: ResolvedRouterConfig,
  target: { readonly waveSize: 32 | 64 },
  launch: { readonly tokens: number; readonly loadBytes: number },
): LaunchGeometry {
  const bytes = config.logitsDtype === 'f32' ? 4 : 2;
  const loads = Math.ceil((config.experts * bytes) / launch.loadBytes);
  const wanted = launch.tokens < 4096 ? 16 : launch.tokens < 16384 ? 8 : 4;
  const hasWideKeys = config.logitsDtype === 'f32' || config.correctionBias !== null || config.groups > 1;
  const fewest = nextPowerOfTwo(config.experts / (hasWideKeys ? 16 : 32));
  const threadsPerBlock = launch.tokens < 4096 ? 64 : 128;
  const lanesPerToken = Math.min(MOST_LANES, target.waveSize, nextPowerOfTwo(loads), Math.max(wanted, fewest));
  const lanesForGroups = config.groups > 1 ? lanesThatFitGroups(config, lanesPerToken) : null;
  if (lanesForGroups === null) return { lanesPerToken, threadsPerBlock, loadBytes: launch.loadBytes };
  const runBytes = (config.experts / lanesForGroups) * bytes;
  const loadBytes = Math.min(launch.loadBytes, runBytes & -runBytes);
  return { lanesPerToken: lanesForGroups, threadsPerBlock, loadBytes };
}

/**
 * The number of lanes nearest to `wanted` with which each lane holds a whole number of expert groups or an equal part
 * of one, in at most 32 experts; null where there is none.
 */
function lanesThatFitGroups({ experts, groups }: ResolvedRouterConfig, wanted: number): number | null {
  const groupSize = experts / groups;
  const fits = (lanes: number): boolean => {
    const run = experts / lanes;
    return Number.isInteger(run) && run <= 32 && (groupSize % run === 0 || run % groupSize === 0);
  };
  const distance = (lanes: number): number => Math.abs(Math.log2(lanes / wanted));
  return [16, 8, 32, 4, 2, 1].filter(fits).sort((a, b) => distance(a) - distance(b))[0] ?? null;
}

/** DPP and the exchanges between rows of 16 lanes reach this far. */
const MOST_LANES = 32;

/** The smallest power of two that is at least `value`. */
export function nextPowerOfTwo(value: number): number {
  return value <= 1 ? 1 : 2 ** Math.ceil(Math.log2(value));
}
