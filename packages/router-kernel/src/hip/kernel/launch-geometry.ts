/** How many lanes share a token, and how the row is searched, for a shape and a number of tokens. */

import type { KernelTarget } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import { hasRange, logitBytes, ranksByChoice } from '../../derived-config.ts';

/** The shape of a launch. */
export interface LaunchGeometry {
  /** A power of two up to the wave size. */
  readonly lanesPerToken: number;
  readonly threadsPerBlock: number;
  /** Bytes of one load. */
  readonly loadBytes: number;
  /** Whether chunks of one load are ranked first, and then the experts of the best ones. */
  readonly searchesChunks: boolean;
  /**
   * When the kernel after this one may begin (NVIDIA, where that launch asks to overlap): when this one ends, or once every
   * block has read its rows, or knows their winners.
   */
  readonly nextBegins: 'at the end' | 'after rows' | 'after winners';
}

/** Chooses the geometry. `loadBytes` is the most that the alignment of rows allows one load to bring. */
export function chooseGeometry(
  config: ResolvedRouterConfig,
  target: Pick<KernelTarget, 'vendor' | 'waveSize'>,
  launch: { readonly tokens: number; readonly loadBytes: number },
): LaunchGeometry {
  const wanted = target.vendor === 'nvidia' ? measuredForm(config, launch) : amdForm(config, target, launch);
  return fitLanes(config, wanted, launch);
}

/** The geometry nearest to `wanted` whose lanes all have loads, and hold whole groups where there are any. */
export function fitLanes(
  config: ResolvedRouterConfig,
  wanted: LaunchGeometry,
  launch: { readonly loadBytes: number },
): LaunchGeometry {
  const bytes = logitBytes(config.logitsDtype);
  const loadsPerRow = (config.experts * bytes) / wanted.loadBytes;
  const lanesPerToken = Math.min(MOST_LANES, nextPowerOfTwo(loadsPerRow), nextPowerOfTwo(wanted.lanesPerToken));
  const lanesForGroups = config.groups > 1 ? lanesThatFitGroups(config, lanesPerToken) : null;
  if (lanesForGroups === null) return { ...wanted, lanesPerToken };
  const runBytes = (config.experts / lanesForGroups) * bytes;
  const loadBytes = Math.min(launch.loadBytes, runBytes & -runBytes);
  return { ...wanted, lanesPerToken: lanesForGroups, loadBytes };
}

/** DPP and the exchanges between rows of 16 lanes reach this far. */
const MOST_LANES = 32;

/** Experts that a lane can hold without running short of registers, with 32-bit and with 64-bit keys. */
export function mostPerLane(config: ResolvedRouterConfig): number {
  return hasWideKeys(config) ? 16 : 32;
}

function hasWideKeys(config: ResolvedRouterConfig): boolean {
  return config.logitsDtype === 'f32' || ranksByChoice(config);
}

/** For AMD, from what the code takes: one load per lane for latency, fewer lanes and fewer exchanges for throughput. */
function amdForm(
  config: ResolvedRouterConfig,
  target: Pick<KernelTarget, 'waveSize'>,
  launch: { readonly tokens: number; readonly loadBytes: number },
): LaunchGeometry {
  const wanted = launch.tokens < 4096 ? 16 : launch.tokens < 16384 ? 8 : 4;
  // Waves of 32 schedule the same code into more registers.
  const perLane = target.waveSize === 32 ? 16 : mostPerLane(config);
  return {
    lanesPerToken: Math.max(wanted, config.experts / perLane),
    threadsPerBlock: launch.tokens < 4096 ? 64 : 128,
    loadBytes: launch.loadBytes,
    searchesChunks: false,
    nextBegins: 'at the end',
  };
}

/** For NVIDIA, as measured on an H100. */
function measuredForm(
  config: ResolvedRouterConfig,
  launch: { readonly tokens: number; readonly loadBytes: number },
): LaunchGeometry {
  const { experts, topK } = config;
  const { tokens, loadBytes } = launch;
  const form = (lanesPerToken: number, threadsPerBlock: number): LaunchGeometry => ({
    lanesPerToken,
    threadsPerBlock,
    loadBytes,
    searchesChunks: false,
    nextBegins: nextBegins(config, tokens),
  });
  const inChunks = (lanesPerToken: number, threadsPerBlock: number): LaunchGeometry => ({
    ...form(lanesPerToken, threadsPerBlock),
    searchesChunks: true,
    nextBegins: tokens >= 32768 ? 'after rows' : 'at the end',
  });
  const fewest = experts / mostPerLane(config);
  const isWide = hasWideKeys(config);
  if (topK > 8 || ranksByChoice(config)) {
    return form(Math.max(tokens < 4096 ? 16 : 8, fewest), 128);
  }
  const isLong = experts >= 128;
  if (tokens < 1024 || (tokens < 4096 && (isLong || isWide))) {
    const threads = tokens <= 128 && topK <= 4 && !isWide && isLong ? 256 : 128;
    return { ...form(32, threads), loadBytes: wholeWaveLoadBytes(config, loadBytes) };
  }
  if (tokens < 4096) return form(8, 128);
  if (tokens < 16384) {
    if (isLong && canSearchValues(config, 8, loadBytes)) {
      return { ...inChunks(8, 128), nextBegins: 'after winners' };
    }
    const lanes = [4, 8].find((count) => canSearchChunks(config, count, loadBytes));
    return isLong && lanes !== undefined ? inChunks(lanes, 64) : form(Math.max(4, fewest / 2), 64);
  }
  if (!isLong) return form(experts < 64 ? 2 : 1, 128);
  if (!isWide && topK > 4 && experts < 256) return form(1, 64);
  const choices = isWide && experts > 128 && experts <= 256 ? [2, 4] : [4, 8];
  const lanes = choices.find((count) => experts / count <= 128 && canSearchChunks(config, count, loadBytes));
  return lanes !== undefined ? inChunks(lanes, 512) : form(Math.max(4, fewest / 2), 256);
}

/**
 * When the kernel after one that searches no chunks begins, as measured. To begin early pays where few blocks leave room for
 * it; but one that has to wait for long goes on late, so with more winners, which take longer to find, it begins once they
 * are found.
 */
function nextBegins(config: ResolvedRouterConfig, tokens: number): LaunchGeometry['nextBegins'] {
  const { experts, topK } = config;
  if (topK <= 4) return tokens <= 128 || (tokens < 4096 && experts <= 32) ? 'after rows' : 'at the end';
  const isWide = hasWideKeys(config);
  return tokens <= (isWide ? 256 : 128) || (tokens < 4096 && experts > 128 && isWide) ? 'after winners' : 'at the end';
}

/** Whether each lane gets an equal share of the row's loads, and of as many chunks as winners are kept. */
export function canSearchChunks(config: ResolvedRouterConfig, lanes: number, loadBytes: number): boolean {
  return hasEnoughChunks(config, lanes, loadBytes) && nextPowerOfTwo(config.topK) % lanes === 0;
}

/** Whether chunks of f32 rows can be searched by value (by_value.hip), where lanes may share a chunk. */
function canSearchValues(config: ResolvedRouterConfig, lanes: number, loadBytes: number): boolean {
  const { experts, topK, logitsDtype } = config;
  return (
    logitsDtype === 'f32' &&
    !hasRange(config) &&
    topK <= 8 &&
    experts <= 128 &&
    hasEnoughChunks(config, lanes, loadBytes) &&
    (nextPowerOfTwo(topK) * 4) % lanes === 0
  );
}

/** Whether the row's loads divide among the lanes, and are as many as winners are kept. */
function hasEnoughChunks(config: ResolvedRouterConfig, lanes: number, loadBytes: number): boolean {
  const loadsPerRow = (config.experts * logitBytes(config.logitsDtype)) / 16;
  return loadBytes === 16 && loadsPerRow % lanes === 0 && nextPowerOfTwo(config.topK) <= loadsPerRow;
}

/** A load small enough that every lane of a wave of 32 has one, where the row is long enough. */
export function wholeWaveLoadBytes(config: ResolvedRouterConfig, most: number): number {
  const bytes = logitBytes(config.logitsDtype);
  const perLane = nextPowerOfTwo(Math.ceil((config.experts * bytes) / 32));
  return Math.min(most, Math.max(4, perLane));
}

/**
 * The number of lanes nearest to `wanted` with which each lane holds a whole number of expert groups or an equal part
 * of one, in at most 32 experts; null where there is none.
 */
export function lanesThatFitGroups({ experts, groups }: ResolvedRouterConfig, wanted: number): number | null {
  const groupSize = experts / groups;
  const fits = (lanes: number): boolean => {
    const run = experts / lanes;
    return Number.isInteger(run) && run <= 32 && (groupSize % run === 0 || run % groupSize === 0);
  };
  const distance = (lanes: number): number => Math.abs(Math.log2(lanes / wanted));
  return [16, 8, 32, 4, 2, 1].filter(fits).sort((a, b) => distance(a) - distance(b))[0] ?? null;
}

/** The smallest power of two that is at least `value`. */
export function nextPowerOfTwo(value: number): number {
  return value <= 1 ? 1 : 2 ** Math.ceil(Math.log2(value));
}
