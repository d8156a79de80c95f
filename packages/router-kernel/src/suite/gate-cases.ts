/**
 * The cases of the suite for gated routers: shapes on both sides of every number of columns that the order of addition
 * turns on, numbers of tokens on both sides of where the fused kernel hands over, and every option of the router.
 * Everything is deterministic.
 */

import type { RouteOptions } from '../contract.ts';
import type { GatedRouterConfig, HiddenDtype, HiddenStates } from '../gate/gate-contract.ts';
import { encodeLogits } from '../number-formats.ts';
import type { SuiteLevel } from './contract-cases.ts';
import { normal, seededRandom } from './seeded-random.ts';

/** One call of `route`. */
export interface GateCall {
  readonly name: string;
  /** Makes the input anew, the same each time. */
  makeInput(): { readonly hidden: HiddenStates; readonly options: RouteOptions };
}

/** One configuration, and the calls that one gated router of it must answer. */
export interface GateCase {
  readonly section: string;
  readonly name: string;
  readonly config: GatedRouterConfig;
  readonly calls: readonly GateCall[];
  /** Expert e has the weights and the bias of expert e mod `period`; E where all differ. */
  readonly period: number;
  /** Numbers of tokens: the first rows of the first call are routed again in so many, and must come out as they did. */
  readonly prefixes: readonly number[];
}

/** E, K and H, with the columns of a row in whole turns of 128 pieces, in part of one, and past one. */
const SHAPES: Readonly<Record<SuiteLevel, readonly (readonly [experts: number, topK: number, hiddenSize: number])[]>> =
  {
    smoke: [
      [8, 2, 8],
      [32, 4, 72],
      [15, 6, 1104],
    ],
    quick: [
      [1, 1, 16],
      [8, 2, 8],
      [32, 4, 2880],
      [60, 6, 1104],
      [128, 4, 2880],
      [128, 8, 1016],
      [256, 8, 1032],
      [257, 3, 64],
    ],
    full: [
      [1, 1, 16],
      [8, 2, 4096],
      [32, 4, 2880],
      [60, 6, 1104],
      [64, 8, 2048],
      [128, 4, 2880],
      [128, 8, 4096],
      [160, 6, 5120],
      [256, 8, 7168],
      [257, 3, 64],
      [384, 8, 9216],
      [512, 10, 2048],
      [1024, 32, 1032],
    ],
  };
const HIDDEN_DTYPES: readonly HiddenDtype[] = ['bf16', 'f32'];
/** Numbers that the fused kernel takes, in each of its forms, and past them. */
const TOKENS: Readonly<Record<SuiteLevel, readonly number[]>> = {
  smoke: [0, 1, 2, 4, 5, 9],
  quick: [0, 1, 2, 3, 4, 5, 7, 8, 9, 17],
  full: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 33, 130],
};

/** All cases of a level. */
export function gateCases(level: SuiteLevel): GateCase[] {
  return [
    ...shapeCases(level),
    ...tokenCases(level),
    ...tiedCases(level),
    ...optionCases(level),
    ...layoutCases(level),
  ];
}

function shapeCases(level: SuiteLevel): GateCase[] {
  return SHAPES[level].flatMap(([experts, topK, hiddenSize], turn) =>
    HIDDEN_DTYPES.filter((_, i) => level === 'full' || i === turn % 2).map((hiddenDtype) => {
      const config = gateOf({ experts, topK, hiddenSize, hiddenDtype }, { hasBias: turn % 3 !== 1 });
      return makeCase('gate shapes', config, [normalRows(config, 3), normalRows(config, 12), specialRows(config)]);
    }),
  );
}

/** Rows do not depend on how many there are: that is checked here, across the threshold of the fused kernel. */
function tokenCases(level: SuiteLevel): GateCase[] {
  const tokens = TOKENS[level];
  const most = Math.max(...tokens);
  return HIDDEN_DTYPES.map((hiddenDtype, turn) => {
    const config = gateOf(
      {
        experts: level === 'smoke' ? 16 : 128,
        topK: 4,
        hiddenSize: level === 'smoke' ? 264 : 2880,
        hiddenDtype,
        dispatchPlan: turn === 0,
      },
      { hasBias: true },
    );
    const calls = [most, ...tokens].map((count) => normalRows(config, count));
    return { ...makeCase('numbers of tokens', config, calls), prefixes: tokens.filter((count) => count > 0) };
  });
}

/** Experts of equal weights: their logits are equal to the bit, and the lower one comes first. */
function tiedCases(level: SuiteLevel): GateCase[] {
  const shapes: readonly (readonly [experts: number, topK: number, period: number])[] = [
    [12, 5, 3],
    [128, 8, 16],
    [33, 7, 5],
  ];
  return shapes.slice(0, level === 'smoke' ? 1 : shapes.length).map(([experts, topK, period]) => {
    const config = gateOf({ experts, topK, hiddenSize: 1040 }, { hasBias: true, period });
    return { ...makeCase('equal experts', config, [normalRows(config, 2), normalRows(config, 11)]), period };
  });
}

/** What a router can be asked for, in one launch and in several. */
function optionCases(level: SuiteLevel): GateCase[] {
  const shape = { experts: 32, topK: 6, hiddenSize: 40 } as const;
  const correctionBias = Float32Array.from({ length: 32 }, (_, expert) => ((expert * 7) % 11) / 20 - 0.2);
  const all: readonly Omit<GatedRouterConfig, 'gateWeight'>[] = [
    { ...shape, dispatchPlan: true, expertTiles: 16, idsDtype: 'i64' },
    { ...shape, scoring: 'sigmoid', correctionBias, groups: 8, topKGroups: 3, dispatchPlan: true },
    { ...shape, renormalize: false, tokenExpertIndices: true, idsDtype: 'u32', routedScalingFactor: 2.5 },
    { ...shape, expertRange: [9, 20], dispatchPlan: true, expertTiles: 64 },
    { ...shape, scoring: 'sqrtsoftplus', correctionBias, hiddenDtype: 'f32' },
    { ...shape, topK: 32, dispatchPlan: true, tokenExpertIndices: true },
  ];
  return all.slice(0, level === 'smoke' ? 4 : all.length).map((options) => {
    const config = gateOf(options, { hasBias: false });
    return makeCase(
      'router options',
      config,
      [1, 4, 20].map((count) => normalRows(config, count)),
    );
  });
}

/** Strided rows, padding masks and row counts. */
function layoutCases(level: SuiteLevel): GateCase[] {
  const dtypes = level === 'smoke' ? HIDDEN_DTYPES.slice(0, 1) : HIDDEN_DTYPES;
  return dtypes.map((hiddenDtype) => {
    const config = gateOf({ experts: 16, topK: 4, hiddenSize: 48, hiddenDtype, dispatchPlan: true }, { hasBias: true });
    const masked = (rows: number): Uint8Array =>
      Uint8Array.from({ length: rows }, (_, row) => (row % 3 === 1 ? 255 : 0));
    return makeCase('gate layout', config, [
      normalRows(config, 4, { rowStride: 56 }),
      normalRows(config, 20, { rowStride: 53 }),
      normalRows(config, 7, { tokens: 3 }),
      ...[4, 21].flatMap((rows) => [
        normalRows(config, rows, { paddingMask: masked(rows) }),
        normalRows(config, rows, { rowCount: 3 }),
        normalRows(config, rows, { paddingMask: masked(rows), rowCount: 0 }),
      ]),
    ]);
  });
}

/** A gate of normal weights, of which sums of H products with normal columns have a spread of 2. */
function gateOf(
  shape: Omit<GatedRouterConfig, 'gateWeight' | 'gateBias'>,
  { hasBias, period = shape.experts }: { readonly hasBias: boolean; readonly period?: number },
): GatedRouterConfig {
  const { experts, hiddenSize } = shape;
  const random = seededRandom(`gate ${experts} ${hiddenSize} ${period}`);
  const scale = 2 / Math.sqrt(hiddenSize);
  const row = (length: number, spread: number): number[] => Array.from({ length }, () => spread * normal(random));
  const rows = Array.from({ length: period }, () => row(hiddenSize, scale));
  const biases = row(period, 0.5);
  const weights = Array.from({ length: experts }, (_, expert) => rows[expert % period] ?? []).flat();
  const gateBias = Float32Array.from({ length: experts }, (_, expert) => biases[expert % period] ?? 0);
  return {
    ...shape,
    gateWeight: encodeLogits(weights, 'bf16') as Uint16Array,
    ...(hasBias && { gateBias }),
  };
}

function normalRows(config: GatedRouterConfig, rows: number, options: RouteOptions = {}): GateCall {
  const { hiddenSize, hiddenDtype = 'bf16' } = config;
  const { rowStride = hiddenSize } = options;
  const words = Object.entries(options).map(
    ([name, value]) => `${name} ${ArrayBuffer.isView(value) ? 'given' : value}`,
  );
  return {
    name: [`${rows} rows of normal numbers`, ...words].join(', '),
    makeInput: () => {
      const random = seededRandom(`rows ${hiddenSize}`);
      const values = new Float32Array(rows * rowStride);
      for (let row = 0; row < rows; row++) {
        // Between rows stands what may not be read.
        for (let column = 0; column < rowStride; column++) {
          values[row * rowStride + column] = column < hiddenSize ? normal(random) : NaN;
        }
      }
      return { hidden: encodeLogits(values, hiddenDtype), options };
    },
  };
}

/** Rows of zeros, with infinities and NaN, far apart in size, and with one column that is not 0. */
function specialRows(config: GatedRouterConfig): GateCall {
  const { hiddenSize, hiddenDtype = 'bf16' } = config;
  return {
    name: 'rows of zeros, infinities, NaN and of columns far apart',
    makeInput: () => {
      const random = seededRandom(`special ${hiddenSize}`);
      const row = (value: (column: number) => number): number[] =>
        Array.from({ length: hiddenSize }, (_, i) => value(i));
      const rows = [
        row(() => 0),
        row((column) => (column === hiddenSize - 1 ? 3 : 0)),
        row((column) => (column === 1 ? Infinity : normal(random))),
        row((column) => (column === 2 ? NaN : normal(random))),
        row((column) => normal(random) * 2 ** ((column % 5) * 8 - 16)),
      ];
      return { hidden: encodeLogits(rows.flat(), hiddenDtype), options: {} };
    },
  };
}

function makeCase(section: string, config: GatedRouterConfig, calls: readonly GateCall[]): GateCase {
  const { experts, topK, hiddenSize, hiddenDtype = 'bf16', scoring = 'softmax' } = config;
  const words = [`E ${experts}`, `K ${topK}`, `H ${hiddenSize}`, hiddenDtype, scoring];
  if (config.gateBias !== undefined) words.push('gate bias');
  if (config.dispatchPlan === true) words.push('plan');
  return { section, name: words.join(', '), config, calls, period: experts, prefixes: [] };
}
