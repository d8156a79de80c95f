/**
 * The products of bf16 matrices with more rows (tokens) than a few, where a GPU copies to shared memory in bulk: rows are left
 * in two bf16 terms by a kernel of their own, and each is read from there for many rows of a matrix.
 */

import { MATRIX_TILE_PARTS } from '@switchyard/gpu';
import { type DenseTile, GROUP_ROWS, HEAD_ARGUMENTS, QKV_ARGUMENTS, matrixRows } from './dense-kernels.ts';
import { type KernelContext, type KernelForm, STEP, kernelForm, kvParts, pointer, u32 } from './kernel-form.ts';
import { isInGroups } from './tile-kernels.ts';

/** Rows that a block works on at once. */
const TERM_TILES = [32, 64] as const;
export type TermTile = (typeof TERM_TILES)[number];
/** What fewer rows take: dense-kernels.ts. */
const LARGEST_OTHER_TILE: DenseTile = 16;

const TERMS = pointer('terms', 'the rows in two terms: kernels/hip/parts/dense_terms.hip');
const SQUARES = pointer('squares', "f32 [rows], the sums of the rows' own squares");

const SPLIT_ARGUMENTS = [
  STEP,
  pointer('gain', 'f32 [columns], of the norm before'),
  pointer('rows', 'f32 [rows, columns]'),
  { ...TERMS, doc: `${TERMS.doc}; written` },
  { ...SQUARES, doc: `${SQUARES.doc}, written` },
  u32('first', 'the first wanted row that the launch takes'),
] as const;

/** As the kernels of dense-kernels.ts, of which two arguments stand for others. */
const [, QKV_WEIGHT, QKV_BIAS, , , ...QKV_OTHERS] = QKV_ARGUMENTS;
const TERM_QKV_ARGUMENTS = [STEP, QKV_WEIGHT, QKV_BIAS, SQUARES, TERMS, ...QKV_OTHERS] as const;
const [, HEAD_WEIGHT, , , ...HEAD_OTHERS] = HEAD_ARGUMENTS;
const TERM_HEAD_ARGUMENTS = [STEP, HEAD_WEIGHT, SQUARES, TERMS, ...HEAD_OTHERS] as const;

/** The products for one tile. */
export interface TermForms {
  readonly qkv: KernelForm<typeof TERM_QKV_ARGUMENTS>;
  readonly head: KernelForm<typeof TERM_HEAD_ARGUMENTS>;
}

/** What leaves rows in two terms: those of a step, and those whose logits are wanted. */
export interface SplitForms {
  readonly ofStep: KernelForm<typeof SPLIT_ARGUMENTS>;
  readonly ofWanted: KernelForm<typeof SPLIT_ARGUMENTS>;
}

type TermName = keyof TermForms;

/** A piece for each of the eight teams that share a row's columns. */
const FEWEST_COLUMNS = 8 * 32;

/** The tiles that a target has kernels for. */
export function termTiles(context: KernelContext): readonly TermTile[] {
  return isInGroups(context) && context.config.hiddenSize >= FEWEST_COLUMNS ? TERM_TILES : [];
}

/** The smallest tile that holds `rows`, else the largest; null where they take the kernels of dense-kernels.ts. */
export function termTile(context: KernelContext, rows: number): TermTile | null {
  const tiles = termTiles(context);
  return rows <= LARGEST_OTHER_TILE ? null : (tiles.find((tile) => tile >= rows) ?? tiles.at(-1) ?? null);
}

/** Parts of packages/gpu that stand before both kinds of kernels: the one leaves terms where the products of the other read them. */
const SHARED_PARTS = [
  'bf16_products',
  'bulk_copies',
  ...MATRIX_TILE_PARTS,
  'matrix_groups',
  'matrix_row_groups',
] as const;

const SPLIT_THREADS = 256;
const THREADS = 512;
const TEAMS = THREADS / 32;

/**
 * Groups of rows that a block works on; pieces of 32 columns that are on their way to shared memory for each slice of the
 * columns, and pieces whose weights a team asks for at once.
 */
interface TermDivision {
  readonly groups: number;
  readonly stages: number;
  readonly ahead: number;
}

/** Found by trying on an H200. */
const DIVISIONS: Readonly<Record<TermTile, Readonly<Record<TermName, TermDivision>>>> = {
  32: { qkv: { groups: 4, stages: 6, ahead: 2 }, head: { groups: 8, stages: 9, ahead: 2 } },
  64: { qkv: { groups: 4, stages: 4, ahead: 2 }, head: { groups: 8, stages: 6, ahead: 2 } },
};

/** Bytes of shared memory of a block (kernels/hip/parts/dense_terms_groups.hip). */
function termBytes(tile: TermTile, { groups, stages }: TermDivision): number {
  const stageBytes = (TEAMS / groups) * stages * tile * 128;
  return stageBytes + 4 * tile * (groups * GROUP_ROWS + 4);
}

/** The forms for a tile. */
export function termForms(context: KernelContext, tile: TermTile): TermForms {
  const common = (name: TermName) => {
    const division = DIVISIONS[tile][name];
    return {
      parts: ['two_terms', 'dense_pieces', 'dense_place', 'dense_terms', 'dynamic_memory', 'dense_terms_groups'],
      sharedParts: SHARED_PARTS,
      threadsPerBlock: THREADS,
      sharedBytes: termBytes(tile, division),
      defines: {
        KERNEL_VECTORS: tile,
        KERNEL_GROUPS: division.groups,
        KERNEL_STAGES: division.stages,
        KERNEL_AHEAD: division.ahead,
        KERNEL_RESIDENT: 1,
      },
    };
  };
  const qkv = common('qkv');
  return {
    qkv: kernelForm(context, {
      ...qkv,
      name: 'qkv_groups',
      parts: [...qkv.parts, ...kvParts(context)],
      symbol: 'project_qkv',
      arguments: TERM_QKV_ARGUMENTS,
    }),
    head: kernelForm(context, {
      ...common('head'),
      name: 'head_groups',
      symbol: 'project_head',
      arguments: TERM_HEAD_ARGUMENTS,
    }),
  };
}

/** Blocks of a launch over `tiles` tiles of rows. */
export function termBlocks(context: KernelContext, name: TermName, tile: TermTile, tiles: number): number {
  return Math.ceil(matrixRows(context)[name] / (GROUP_ROWS * DIVISIONS[tile][name].groups)) * tiles;
}

/** A block a row. */
export function splitForms(context: KernelContext): SplitForms {
  const form = (isOfWanted: 0 | 1) =>
    kernelForm(context, {
      name: 'split_rows',
      parts: ['two_terms', 'dense_pieces', 'dense_terms'],
      sharedParts: SHARED_PARTS,
      symbol: 'split_rows',
      arguments: SPLIT_ARGUMENTS,
      threadsPerBlock: SPLIT_THREADS,
      defines: { KERNEL_WANTED: isOfWanted },
    });
  return { ofStep: form(0), ofWanted: form(1) };
}
