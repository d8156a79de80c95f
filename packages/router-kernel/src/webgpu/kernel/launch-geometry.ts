/** How many lanes share a token, and how the row is searched, for a configuration and a number of tokens. */

import type { ResolvedRouterConfig } from '../../contract.ts';
import { ranksByChoice } from '../../derived-config.ts';
import { nextPowerOfTwo } from './sorting-network.ts';

/** How the lanes of a token exchange their keys. */
export type ExchangePath = 'subgroups' | 'workgroup';
/** Which geometry a number of tokens takes: few tokens are spread over many lanes, many tokens over few. */
export type TokenRange = 'few' | 'many' | 'most';

/** What the launch geometry depends on beside the configuration. */
export interface LaunchOptions {
  readonly path: ExchangePath;
  /** The smallest subgroup of the device, in invocations; 1 where it has none. */
  readonly minSubgroupSize: number;
  readonly tokenRange: TokenRange;
  /** Whether rows and outputs start at multiples of 16 bytes, so that whole vectors are read and written. */
  readonly isAligned: boolean;
}

/** The shape of the dispatches of one pipeline. */
export interface LaunchGeometry {
  /** Invocations that share a token: a power of two. */
  readonly lanesPerToken: number;
  /** Invocations in a workgroup: a multiple of `lanesPerToken`. */
  readonly workgroupSize: number;
  /** Tokens in a workgroup. */
  readonly tokensPerWorkgroup: number;
  /** Logits in one load. 1: scalars; 4 or 8: a vec4<u32>. */
  readonly logitsPerLoad: number;
  /** Whether chunks of one load are ranked first, and then the experts of the best ones. */
  readonly searchesChunks: boolean;
}

/** What the code of a kernel's search depends on. */
export interface KernelForm {
  readonly config: ResolvedRouterConfig;
  readonly geometry: LaunchGeometry;
  readonly path: ExchangePath;
}

/** Workgroup memory that every WebGPU device has, in bytes. */
const WORKGROUP_MEMORY = 16384;

/** The tokens from which the geometries for many and for most tokens pay: the GPU is full without more lanes a token. */
const MANY_TOKENS = 2048;
const MOST_TOKENS = 4096;

/** E and K between which ranking chunks first pays. */
const LEAST_CHUNKED_EXPERTS = 128;
const MOST_CHUNKED_TOP_K = 8;
/** Chunks that a lane ranks, unrolled. */
const MOST_CHUNKS_PER_LANE = 16;

/** Logits that a lane takes in one round, unrolled. At least MAX_TOP_K, so that the first round fills a list of K. */
const LOGITS_PER_ROUND = 32;

/** The range that a number of tokens is in. */
export function tokenRangeOf(tokens: number): TokenRange {
  if (tokens < MANY_TOKENS) return 'few';
  return tokens < MOST_TOKENS ? 'many' : 'most';
}

/** Whether whole vectors can be read of rows that start at multiples of 16 bytes. */
export function hasVectorLoads(config: ResolvedRouterConfig): boolean {
  return !ranksByChoice(config) && config.experts % logitsPerVector(config) === 0;
}

/** Logits in 16 bytes. */
export function logitsPerVector(config: ResolvedRouterConfig): number {
  return config.logitsDtype === 'f32' ? 4 : 8;
}

/** Chooses the geometry. */
export function chooseGeometry(config: ResolvedRouterConfig, options: LaunchOptions): LaunchGeometry {
  const { experts } = config;
  const inChunks = options.tokenRange === 'most' && options.isAligned ? chunkGeometry(config, options) : null;
  if (inChunks !== null) return inChunks;
  const logitsPerLoad = options.isAligned && hasVectorLoads(config) ? logitsPerVector(config) : 1;
  const logitsPerLane = { few: 8, many: 16, most: 32 }[options.tokenRange];
  const widest = options.path === 'subgroups' ? Math.min(32, options.minSubgroupSize) : 32;
  const wanted = nextPowerOfTwo(Math.max(1, Math.ceil(experts / Math.max(logitsPerLane, logitsPerLoad))));
  const lanes = Math.min(wanted, widest);
  let workgroupSize = 64;
  while (workgroupSize > lanes && memoryOf(config, lanes, workgroupSize, options.path) > WORKGROUP_MEMORY) {
    workgroupSize /= 2;
  }
  return {
    lanesPerToken: lanes,
    workgroupSize,
    tokensPerWorkgroup: workgroupSize / lanes,
    logitsPerLoad,
    searchesChunks: false,
  };
}

/**
 * The geometry of a dispatch that forms logits too: that of few tokens in one workgroup, of as many invocations as a logit has
 * partial sums. Null where its memory is not there.
 *
 * @param gateRows tokens of the dispatch, of each of which an invocation has a partial sum
 */
export function gatedGeometry(
  config: ResolvedRouterConfig,
  options: Omit<LaunchOptions, 'tokenRange'>,
  { invocations, gateRows }: { readonly invocations: number; readonly gateRows: number },
): LaunchGeometry | null {
  const alone = chooseGeometry(config, { ...options, tokenRange: 'few' });
  const lanes = alone.lanesPerToken;
  // Two lists of slots for the plan, and the count of arrivals.
  const planned = config.dispatchPlan ? 2 * gateRows * config.topK * 4 : 0;
  const gate = invocations * gateRows * 4 + 16;
  if (memoryOf(config, lanes, invocations, options.path) + planned + gate > WORKGROUP_MEMORY) return null;
  if (lanes * gateRows > invocations) return null;
  return { ...alone, workgroupSize: invocations, tokensPerWorkgroup: invocations / lanes };
}

/** Best chunks of a row that are searched for experts: a number that divides among the lanes. */
export function chunksKept(config: ResolvedRouterConfig): number {
  return nextPowerOfTwo(config.topK);
}

/** Whether the chunks of a row divide among so many lanes, and the best ones again. */
export function canSearchChunks(config: ResolvedRouterConfig, lanes: number): boolean {
  const chunks = config.experts / logitsPerVector(config);
  const kept = chunksKept(config);
  return hasVectorLoads(config) && chunks % lanes === 0 && kept % lanes === 0 && chunks >= 2 * kept;
}

function chunkGeometry(config: ResolvedRouterConfig, options: LaunchOptions): LaunchGeometry | null {
  const { experts, topK } = config;
  if (experts < LEAST_CHUNKED_EXPERTS || topK > MOST_CHUNKED_TOP_K) return null;
  const logitsPerLoad = logitsPerVector(config);
  const widest = options.path === 'subgroups' ? options.minSubgroupSize : 32;
  const lanes = [4, 8, 2, 1].find(
    (count) =>
      count <= widest && canSearchChunks(config, count) && experts / logitsPerLoad / count <= MOST_CHUNKS_PER_LANE,
  );
  if (lanes === undefined) return null;
  const workgroupSize = 64;
  return {
    lanesPerToken: lanes,
    workgroupSize,
    tokensPerWorkgroup: workgroupSize / lanes,
    logitsPerLoad,
    searchesChunks: true,
  };
}

/** How a lane takes its part of a row: in rounds of so many loads. The last round may reach past the row's end. */
export function selectionRounds(
  config: ResolvedRouterConfig,
  geometry: LaunchGeometry,
): { loads: number; rounds: number } {
  const needed = Math.ceil(config.experts / (geometry.lanesPerToken * geometry.logitsPerLoad));
  const loads = Math.min(needed, LOGITS_PER_ROUND / geometry.logitsPerLoad);
  return { loads, rounds: Math.ceil(needed / loads) };
}

/** Whether some lane's loads reach past the end of a row. */
export function hasPartialLoads(config: ResolvedRouterConfig, geometry: LaunchGeometry): boolean {
  if (geometry.searchesChunks) return false;
  const { loads, rounds } = selectionRounds(config, geometry);
  return loads * rounds * geometry.lanesPerToken * geometry.logitsPerLoad !== config.experts;
}

/** Whether a key is a 32-bit order beside its id, and not a 16-bit order and an id in one word. */
export function hasWideKeys(config: ResolvedRouterConfig): boolean {
  return config.logitsDtype === 'f32' || ranksByChoice(config);
}

function memoryOf(config: ResolvedRouterConfig, lanes: number, workgroupSize: number, path: ExchangePath): number {
  const tokens = workgroupSize / lanes;
  const choice = ranksByChoice(config) ? tokens * (config.experts + config.groups) * 4 : 0;
  const keyBytes = hasWideKeys(config) ? 8 : 4;
  const exchange = path === 'workgroup' && lanes > 1 ? workgroupSize * (config.topK * keyBytes + 4) : 0;
  return choice + exchange;
}
