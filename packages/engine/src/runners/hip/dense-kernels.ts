/**
 * The products of bf16 matrices: projections of attention, the gate projection, the LM head.
 */

import { type KernelContext, type KernelForm, STEP, TEAM, kernelForm, pointer, u32 } from './kernel-form.ts';
import { isBySlot } from './sizes.ts';

/** Rows (tokens) that a block works on at once. All have the same bits in each. */
export const DENSE_TILES = [1, 2, 4, 8] as const;
export type DenseTile = (typeof DENSE_TILES)[number];

/** The smallest tile that holds `rows`, else the largest. */
export function denseTile(rows: number): DenseTile {
  return DENSE_TILES.find((tile) => tile >= rows) ?? 8;
}

/** How a matrix's rows are shared out. */
interface DenseDivision {
  readonly rowsPerTeam: number;
  readonly teams: number;
}

const TILES = u32('tiles', 'tiles of rows that the launch has room for');

const QKV_ARGUMENTS = [
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
  pointer('normed', 'f32 [rows, hidden], written unless the step is computed slot by slot'),
  TILES,
] as const;

const HEAD_ARGUMENTS = [
  STEP,
  pointer('weight', 'bf16 [vocabulary, hidden]'),
  pointer('gain', 'f32 [hidden], of the final norm'),
  pointer('residual', 'f32 [rows, hidden]'),
  pointer('logits', 'f32 [most, vocabulary], written'),
  TILES,
  u32('first', 'the first wanted row that the launch takes'),
  u32('most', 'the most that it takes'),
] as const;

/** The dense kernels for one tile. */
export interface DenseForms {
  readonly qkv: KernelForm<typeof QKV_ARGUMENTS>;
  readonly attentionOutput: KernelForm<typeof ATTENTION_OUTPUT_ARGUMENTS>;
  readonly gate: KernelForm<typeof GATE_ARGUMENTS>;
  readonly head: KernelForm<typeof HEAD_ARGUMENTS>;
}

export type DenseName = keyof DenseForms;
/** Those whose rows are shared out to teams. */
type TeamName = Exclude<DenseName, 'gate'>;

/** A block of the gate projection forms one router logit of each row of its tile. */
const GATE_THREADS = 256;

/** Loads of 16 bytes that a lane asks for at once, for each of its rows. */
const AHEAD: Readonly<Record<DenseTile, number>> = { 1: 3, 2: 2, 4: 1, 8: 1 };
/**
 * The output projection of one row waits for little but its weights: half of a row is asked for while attention runs. Found by
 * trying on an H200.
 */
const AHEAD_OF_ATTENTION = 8;

/** Rows of each matrix. */
function matrixRows({ config }: KernelContext): Readonly<Record<TeamName, number>> {
  return {
    qkv: (config.attentionHeads + 2 * config.keyValueHeads) * config.headDim,
    attentionOutput: config.hiddenSize,
    head: config.vocabularySize,
  };
}

/** The most that divides evenly: two rows a team and four teams; others for the head, and for one row's output projection. */
function division(context: KernelContext, name: TeamName, tile: DenseTile): DenseDivision {
  const rows = matrixRows(context)[name];
  const isSingleOutput = name === 'attentionOutput' && tile === 1;
  const [mostRows, mostTeams] = name === 'head' ? [4, 8] : isSingleOutput ? [1, 8] : [2, 4];
  const fewestTeams = context.target.waveSize / TEAM;
  for (const teams of [mostTeams, 4, 2, 1].filter((count) => count >= fewestTeams && count <= mostTeams)) {
    // A team has the two rows of a pair that the rotary embedding turns.
    const rowCounts = name === 'qkv' ? [2] : [mostRows, 2, 1].filter((count) => count <= mostRows);
    for (const rowsPerTeam of rowCounts) {
      if (rows % (teams * rowsPerTeam) === 0) return { rowsPerTeam, teams };
    }
  }
  throw new RangeError(`${rows} rows of ${name} cannot be shared out in teams of ${TEAM} lanes`);
}

/** The forms for a tile. */
export function denseForms(context: KernelContext, tile: DenseTile): DenseForms {
  const common = (name: TeamName) => {
    const { rowsPerTeam, teams } = division(context, name, tile);
    const ahead = name === 'attentionOutput' && tile === 1 ? AHEAD_OF_ATTENTION : AHEAD[tile];
    return {
      parts: ['dense_rows'],
      threadsPerBlock: teams * TEAM,
      defines: { KERNEL_ROWS: rowsPerTeam, KERNEL_VECTORS: tile, KERNEL_AHEAD: ahead },
    };
  };
  return {
    qkv: kernelForm(context, {
      name: 'qkv',
      symbol: 'project_qkv',
      arguments: QKV_ARGUMENTS,
      ...common('qkv'),
      parts: ['dense_rows', 'kv_blocks'],
    }),
    attentionOutput: kernelForm(context, {
      name: 'attention_output',
      symbol: 'project_attention',
      arguments: ATTENTION_OUTPUT_ARGUMENTS,
      ...common('attentionOutput'),
    }),
    gate: kernelForm(context, {
      name: 'gate',
      parts: ['row_norm'],
      symbol: 'project_gate',
      arguments: GATE_ARGUMENTS,
      threadsPerBlock: GATE_THREADS,
      defines: { KERNEL_VECTORS: tile, KERNEL_WRITES_NORMED: isBySlot(tile) ? 0 : 1 },
    }),
    head: kernelForm(context, { name: 'head', symbol: 'project_head', arguments: HEAD_ARGUMENTS, ...common('head') }),
  };
}

/** Blocks of a launch over `tiles` tiles of rows, of `tile` rows each. */
export function denseBlocks(context: KernelContext, name: DenseName, tile: DenseTile, tiles: number): number {
  if (name === 'gate') return context.config.experts * tiles;
  const { rowsPerTeam, teams } = division(context, name, tile);
  return (matrixRows(context)[name] / (rowsPerTeam * teams)) * tiles;
}
