/**
 * The products of bf16 matrices: projections of attention, the gate projection, the LM head.
 */

import type { KernelArgument } from '@switchyard/gpu';
import { type KernelContext, type KernelForm, STEP, TEAM, kernelForm, kvParts, pointer, u32 } from './kernel-form.ts';
import { mxfp4Product, multipliesBf16Tiles } from './mxfp4-product.ts';
import { KV_SCALED_ELEMENTS } from '../kv-bytes.ts';
import { isBySlot } from './sizes.ts';

/** Rows (tokens) that a block works on at once. All have the same bits in each. */
const LANE_TILES = [1, 2, 4, 8] as const;
/** Where products are of bf16 tiles, which have room for eight in any case; one vector comes another way. */
const GROUP_TILES = [1, 8, 16, 32] as const;
type GroupTile = (typeof GROUP_TILES)[number];
/** Of the gate projection, on every GPU. */
export const GATE_TILES = LANE_TILES;
export type GateTile = (typeof GATE_TILES)[number];
export type DenseTile = GateTile | GroupTile;

/** The tiles that a target has kernels for. */
export function denseTiles({ target }: KernelContext): readonly DenseTile[] {
  return multipliesBf16Tiles(target) ? GROUP_TILES : LANE_TILES;
}

/** The smallest tile that holds `rows`, else the largest. */
export function denseTile(context: KernelContext, rows: number): DenseTile {
  return smallestThatHolds(denseTiles(context), rows);
}

/** As denseTile, of the gate projection. */
export function gateTile(rows: number): GateTile {
  return smallestThatHolds(GATE_TILES, rows);
}

function smallestThatHolds<Tile extends number>(tiles: readonly Tile[], rows: number): Tile {
  const largest = tiles.at(-1);
  if (largest === undefined) throw new RangeError('No tiles to choose from');
  return tiles.find((tile) => tile >= rows) ?? largest;
}

/** How a matrix's rows are shared out. */
interface DenseDivision {
  readonly rowsPerTeam: number;
  readonly teams: number;
}

const TILES = u32('tiles', 'tiles of rows that the launch has room for');

export const QKV_ARGUMENTS = [
  STEP,
  pointer('weight', 'bf16 [(heads + 2 * KV heads) * head size, hidden]'),
  pointer('bias', 'f32, one for each of its rows'),
  pointer('gain', 'f32 [hidden], of the norm before'),
  pointer('residual', 'f32 [rows, hidden]'),
  pointer('cosines', 'f32 [positions, head size / 2]'),
  pointer('sines', 'f32 [positions, head size / 2]'),
  pointer('queries', 'f32 [rows, heads * head size], rotated, written'),
  pointer('cache', 'the KV blocks, written'),
  TILES,
  u32('layer', 'the layer among those of its kind'),
  u32('isWindow', '1 where the layer has a window'),
] as const;

const ATTENTION_OUTPUT_ARGUMENTS = [
  STEP,
  pointer('weight', 'bf16 [hidden, heads * head size]'),
  pointer('bias', 'f32 [hidden]'),
  pointer('attended', 'f32 [rows, heads * head size]'),
  pointer('residual', 'f32 [rows, hidden], added to'),
  TILES,
] as const;

const GATE_ARGUMENTS = [
  STEP,
  pointer('weight', 'bf16 [experts, hidden]'),
  pointer('bias', 'f32 [experts]'),
  pointer('gain', 'f32 [hidden], of the norm before'),
  pointer('residual', 'f32 [rows, hidden]'),
  pointer('logits', 'f32 [rows, experts], written'),
  pointer('normed', 'vectors that the experts multiply, written unless the step is computed slot by slot'),
  TILES,
] as const;

export const HEAD_ARGUMENTS = [
  STEP,
  pointer('weight', 'bf16 [vocabulary, hidden]'),
  pointer('gain', 'f32 [hidden], of the final norm'),
  pointer('residual', 'f32 [rows, hidden]'),
  pointer('logits', 'f32 [most, vocabulary], written'),
  TILES,
  u32('first', 'the first wanted row that the launch takes'),
  u32('most', 'the most that it takes'),
] as const;

/** The dense kernels for one tile, but for the gate projection. */
export interface DenseForms {
  readonly qkv: KernelForm<typeof QKV_ARGUMENTS>;
  readonly attentionOutput: KernelForm<typeof ATTENTION_OUTPUT_ARGUMENTS>;
  readonly head: KernelForm<typeof HEAD_ARGUMENTS>;
}

export type DenseName = keyof DenseForms;

/** A block of the gate projection forms one router logit of each row of its tile. */
const GATE_THREADS = 256;

/** Loads of 16 bytes that a lane asks for at once, for each of its rows. */
const AHEAD: Readonly<Record<GateTile, number>> = { 1: 3, 2: 2, 4: 1, 8: 1 };
/**
 * The output projection of one row waits for little but its weights: half of a row is asked for while attention runs. Found by
 * trying on an H200.
 */
const AHEAD_OF_ATTENTION = 8;

/** Rows of each matrix. */
export function matrixRows({ config }: KernelContext): Readonly<Record<DenseName, number>> {
  return {
    qkv: (config.attentionHeads + 2 * config.keyValueHeads) * config.headDim,
    attentionOutput: config.hiddenSize,
    head: config.vocabularySize,
  };
}

/** The most that divides evenly: two rows a team and four teams; others for QKV, the head, and one row's output projection. */
function division(context: KernelContext, name: DenseName, tile: DenseTile): DenseDivision {
  const rows = matrixRows(context)[name];
  // Teams of a block have the pairs that the rotary embedding turns, one each, whose elements share a scale.
  if (name === 'qkv') return { rowsPerTeam: 2, teams: KV_SCALED_ELEMENTS / 2 };
  const isSingleOutput = name === 'attentionOutput' && tile === 1;
  const [mostRows, mostTeams] = name === 'head' ? [4, 8] : isSingleOutput ? [1, 8] : [2, 4];
  const fewestTeams = context.target.waveSize / TEAM;
  for (const teams of [mostTeams, 4, 2, 1].filter((count) => count >= fewestTeams && count <= mostTeams)) {
    for (const rowsPerTeam of [mostRows, 2, 1].filter((count) => count <= mostRows)) {
      if (rows % (teams * rowsPerTeam) === 0) return { rowsPerTeam, teams };
    }
  }
  throw new RangeError(`${rows} rows of ${name} cannot be shared out in teams of ${TEAM} lanes`);
}

/** Rows of a group, and threads of a block that works on groups: dense_groups.hip. */
export const GROUP_ROWS = 16;
const GROUP_THREADS = 256;

/**
 * Groups of rows that a block works on, pieces of 32 columns whose weights a team asks for at once, blocks that a
 * multiprocessor has room for, and whether vectors are asked for ahead as well.
 */
interface GroupDivision {
  readonly groups: number;
  readonly ahead: number;
  readonly resident: number;
  readonly values: 0 | 1;
}

/** Found by trying on an H200. */
const GROUP_DIVISIONS: Readonly<Record<GroupTile, Readonly<Record<DenseName, GroupDivision>>>> = {
  1: {
    qkv: { groups: 1, ahead: 3, resident: 3, values: 0 },
    attentionOutput: { groups: 1, ahead: 4, resident: 2, values: 0 },
    head: { groups: 2, ahead: 3, resident: 2, values: 0 },
  },
  8: {
    qkv: { groups: 2, ahead: 2, resident: 2, values: 0 },
    attentionOutput: { groups: 1, ahead: 4, resident: 2, values: 1 },
    head: { groups: 2, ahead: 2, resident: 2, values: 0 },
  },
  16: {
    qkv: { groups: 2, ahead: 2, resident: 2, values: 0 },
    attentionOutput: { groups: 1, ahead: 4, resident: 2, values: 0 },
    head: { groups: 2, ahead: 2, resident: 2, values: 0 },
  },
  32: {
    qkv: { groups: 1, ahead: 2, resident: 2, values: 0 },
    attentionOutput: { groups: 2, ahead: 2, resident: 1, values: 1 },
    head: { groups: 1, ahead: 2, resident: 2, values: 0 },
  },
};

/** A vocabulary need not end where a block's rows do; other rows are of whole blocks. */
function groupDivision(context: KernelContext, name: DenseName, tile: DenseTile): GroupDivision {
  const found = GROUP_DIVISIONS[tile === 2 || tile === 4 ? 8 : tile][name];
  const isWhole = name === 'head' || matrixRows(context)[name] % (GROUP_ROWS * found.groups) === 0;
  return isWhole ? found : { ...found, groups: 1 };
}

/** What the forms of one tile differ in. */
function divided(context: KernelContext, name: DenseName, tile: DenseTile) {
  if (multipliesBf16Tiles(context.target)) {
    const { groups, ahead, resident, values } = groupDivision(context, name, tile);
    return {
      suffix: '_groups',
      parts: [
        'two_terms',
        'dense_pieces',
        'dense_place',
        'dense_groups',
        tile === 1 ? 'dense_values_shared' : 'dense_values_streamed',
      ],
      sharedParts: ['bf16_products'] as const,
      threadsPerBlock: GROUP_THREADS,
      defines: {
        KERNEL_GROUPS: groups,
        KERNEL_VECTORS: tile,
        KERNEL_AHEAD: ahead,
        KERNEL_RESIDENT: resident,
        KERNEL_VALUES_AHEAD: values,
      },
    };
  }
  const { rowsPerTeam, teams } = division(context, name, tile);
  const ahead = name === 'attentionOutput' && tile === 1 ? AHEAD_OF_ATTENTION : AHEAD[gateTile(tile)];
  return {
    suffix: '',
    parts: ['dense_rows'],
    sharedParts: [] as const,
    threadsPerBlock: teams * TEAM,
    defines: { KERNEL_ROWS: rowsPerTeam, KERNEL_VECTORS: tile, KERNEL_AHEAD: ahead },
  };
}

/** The forms for a tile. */
export function denseForms(context: KernelContext, tile: DenseTile): DenseForms {
  const form = <const List extends readonly KernelArgument[]>(
    name: DenseName,
    file: string,
    description: { readonly symbol: string; readonly arguments: List; readonly parts?: readonly string[] },
  ) => {
    const { suffix, parts, ...common } = divided(context, name, tile);
    return kernelForm(context, {
      ...common,
      ...description,
      name: `${file}${suffix}`,
      parts: [...parts, ...(description.parts ?? [])],
    });
  };
  return {
    qkv: form('qkv', 'qkv', { symbol: 'project_qkv', arguments: QKV_ARGUMENTS, parts: kvParts(context) }),
    attentionOutput: form('attentionOutput', 'attention_output', {
      symbol: 'project_attention',
      arguments: ATTENTION_OUTPUT_ARGUMENTS,
    }),
    head: form('head', 'head', { symbol: 'project_head', arguments: HEAD_ARGUMENTS }),
  };
}

/** Blocks of a launch over `tiles` tiles of rows, of `tile` rows each. */
export function denseBlocks(context: KernelContext, name: DenseName, tile: DenseTile, tiles: number): number {
  const rows = matrixRows(context)[name];
  if (multipliesBf16Tiles(context.target)) {
    return Math.ceil(rows / (GROUP_ROWS * groupDivision(context, name, tile).groups)) * tiles;
  }
  const { rowsPerTeam, teams } = division(context, name, tile);
  return (rows / (rowsPerTeam * teams)) * tiles;
}

/** The gate projection for a tile. */
export function gateForm(context: KernelContext, tile: GateTile): KernelForm<typeof GATE_ARGUMENTS> {
  const { parts, sharedParts } = mxfp4Product(context.target);
  const writesNormed = !isBySlot(context.config, tile);
  return kernelForm(context, {
    name: 'gate',
    parts: ['row_norm', ...(writesNormed ? parts : [])],
    ...(writesNormed ? { sharedParts } : {}),
    symbol: 'project_gate',
    arguments: GATE_ARGUMENTS,
    threadsPerBlock: GATE_THREADS,
    defines: { KERNEL_VECTORS: tile, KERNEL_WRITES_NORMED: writesNormed ? 1 : 0 },
  });
}

/** Blocks of a launch of the gate projection over `tiles` tiles of rows. */
export function gateBlocks({ config }: KernelContext, tiles: number): number {
  return config.experts * tiles;
}
