/** Writes which slots of a token a lane computes, and their stores into the outputs of kernels/parts/bindings.wgsl. */

import type { ResolvedRouterConfig } from '../../contract.ts';
import { ranksByChoice } from '../../derived-config.ts';
import { pickByLane } from './lane-exchange.ts';
import type { LaunchGeometry } from './launch-geometry.ts';
import { block } from './statements.ts';

/** The words of one row of an output, and how they are written. */
interface OutputRow {
  readonly buffer: 'weights' | 'ids' | 'token_expert_indices';
  /** Where the output starts in its binding, with a plus sign behind it; empty where that is at 0. */
  readonly start: string;
  /** Words in one store. */
  readonly width: 1 | 2 | 4;
  /** The type of an element of the output: that of one store. */
  readonly element: string;
  /** The words that a lane writes, as expressions: the whole row's, or those of its own slots. */
  readonly words: readonly string[];
}

/** What decides how outputs are written. */
export interface StoreForm {
  readonly config: ResolvedRouterConfig;
  readonly geometry: LaunchGeometry;
  /** Whether outputs are written as vectors where their rows allow it. */
  readonly isAligned: boolean;
  /** Whether every binding holds its array and nothing else. */
  readonly isContiguous: boolean;
}

/** The stores of one kernel. */
export interface Stores {
  /** The type of an element of each output. */
  readonly elements: Readonly<Record<OutputRow['buffer'], string>>;
  readonly code: readonly string[];
}

/** The 32-bit words that one store of each output writes. Starts are counted in these. */
export function wordsPerStore(
  config: ResolvedRouterConfig,
  geometry: LaunchGeometry,
  isAligned: boolean,
): { weights: number; ids: number } {
  const slots = slotsPerLane(config, geometry);
  const idWords = config.idsDtype === 'i64' ? 2 * slots : slots;
  return { weights: storeWidth(slots, isAligned), ids: storeWidth(idWords, isAligned) };
}

/**
 * The slots of a token whose weights one lane computes and writes: all K where every lane computes all, for one of them
 * to write; where instructions count and K divides among the lanes, a lane's share.
 */
export function slotsPerLane(config: ResolvedRouterConfig, geometry: LaunchGeometry): number {
  const { searchesChunks, lanesPerToken } = geometry;
  const isShared = searchesChunks && hasSortedShares(config) && config.topK % lanesPerToken === 0;
  return isShared ? config.topK / lanesPerToken : config.topK;
}

/** Whether the shares of the winners fall from the first to the last, and need nothing else of the row. */
export function hasSortedShares(config: ResolvedRouterConfig): boolean {
  return config.scoring === 'softmax' && config.renormalize && !ranksByChoice(config);
}

/** The statements that name the winners of a lane's slots `winner_0`, `winner_1`, ... */
export function winnersOfLane(winners: readonly string[], slots: number): string[] {
  return Array.from({ length: slots }, (_, k) => {
    const ofLanes = winners.filter((_winner, slot) => slot % slots === k);
    return `let winner_${k} = ${slots < winners.length ? pickByLane(ofLanes) : winners[k]};`;
  });
}

/**
 * The stores of a lane's slots. Where all lanes have the same ones each store goes to another lane in turn, so that one
 * instruction of the wave writes many of them.
 */
export function storesOf(form: StoreForm): Stores {
  const { config, geometry } = form;
  const lanes = geometry.lanesPerToken;
  const hasOwnSlots = slotsPerLane(config, geometry) < config.topK;
  const rows = outputRows(form);
  const statements = rows.flatMap(({ buffer, start, width, element, words }) => {
    const stores = words.length / width;
    const first = hasOwnSlots ? `(token * LANES + lane) * ${stores}u` : `token * ${stores}u`;
    return Array.from({ length: stores }, (_, i) => {
      const stored = words.slice(i * width, (i + 1) * width);
      const value = width === 1 ? stored[0] : `${element}(${stored.join(', ')})`;
      return `${buffer}[${start}${first} + ${i}u] = ${value};`;
    });
  });
  const ofLane = (lane: number): string[] => statements.filter((_, i) => i % lanes === lane);
  const code =
    hasOwnSlots || lanes === 1
      ? statements
      : Array.from({ length: Math.min(lanes, statements.length) }, (_, lane) =>
          block(`if (lane == ${lane}u)`, ofLane(lane)),
        ).flat();
  const elementOf = (name: OutputRow['buffer']): string => rows.find(({ buffer }) => buffer === name)?.element ?? 'u32';
  const elements = {
    weights: elementOf('weights'),
    ids: elementOf('ids'),
    token_expert_indices: elementOf('token_expert_indices'),
  };
  return { elements, code };
}

function outputRows({ config, geometry, isAligned, isContiguous }: StoreForm): OutputRow[] {
  const count = slotsPerLane(config, geometry);
  const slots = Array.from({ length: count }, (_, k) => k);
  const row = (buffer: OutputRow['buffer'], start: string, scalar: string, words: readonly string[]): OutputRow => {
    const width = storeWidth(words.length, isAligned);
    const element = width === 1 ? scalar : `vec${width}<${scalar}>`;
    return { buffer, start: isContiguous ? '' : `call.${start} + `, width, element, words };
  };
  // The upper word of an i64: the sign of the lower one.
  const wordsOfId = (id: string): string[] => (config.idsDtype === 'i64' ? [id, `u32(i32(${id}) >> 31u)`] : [id]);
  const rows = [
    row(
      'weights',
      'weights_start',
      'f32',
      slots.map((k) => `weight_${k}`),
    ),
    row(
      'ids',
      'ids_start',
      'u32',
      slots.flatMap((k) => wordsOfId(`final_id_${k}`)),
    ),
  ];
  if (!config.tokenExpertIndices) return rows;
  const token = isContiguous ? 'token' : 'call.first_token + token';
  const tokens = isContiguous ? 'tokens' : 'call.all_tokens';
  const slot = (k: number): string => (count < config.topK ? `(lane * ${count}u + ${k}u)` : `${k}u`);
  const indices = slots.map((k) => `${token} + ${slot(k)} * ${tokens}`);
  return [...rows, row('token_expert_indices', 'indices_start', 'u32', indices)];
}

/** The words in one store of a row of so many. */
export function storeWidth(words: number, isAligned: boolean): 1 | 2 | 4 {
  if (!isAligned) return 1;
  if (words % 4 === 0) return 4;
  return words % 2 === 0 ? 2 : 1;
}
