/**
 * The cases of the contract suite: the union of the shapes that the known routers test themselves with, and the rows
 * and options that have gone wrong in one of them. Everything is deterministic.
 */

import type { IdsDtype, Logits, LogitsDtype, RouteOptions, RouterConfig, Scoring } from '../contract.ts';
import { encodeLogits } from '../number-formats.ts';
import { normalLogits, PATTERN_COUNT, patternedLogits, tiedLogits } from './row-patterns.ts';
import { seededRandom } from './seeded-random.ts';

/** How much is run: seconds on a CPU for 'smoke', tens of seconds for 'quick', minutes for 'full'. */
export type SuiteLevel = 'smoke' | 'quick' | 'full';
export const SUITE_LEVELS: readonly SuiteLevel[] = ['smoke', 'quick', 'full'];

/** One call of `route`. */
export interface ContractCall {
  readonly name: string;
  /** Makes the input anew, the same each time. */
  makeInput(): { readonly logits: Logits; readonly options: RouteOptions };
}

/** One configuration, and the calls that one router of it must answer. */
export interface ContractCase {
  /** What the case is about, such as 'shapes' or 'expert groups'. */
  readonly section: string;
  readonly name: string;
  readonly config: RouterConfig;
  readonly calls: readonly ContractCall[];
}

/** E of every published test, and the numbers beside powers of two. */
const EXPERTS: readonly number[] = [
  1, 2, 4, 6, 8, 13, 16, 31, 32, 33, 40, 60, 64, 65, 71, 72, 96, 100, 128, 129, 144, 160, 192, 200, 256, 257, 288, 320,
  384, 385, 448, 512, 513, 576, 577, 640, 768, 769, 895, 896, 897, 1024,
];
const TOP_KS: readonly number[] = [1, 2, 3, 4, 5, 6, 8, 9, 10, 16, 17, 22, 23, 32];
const SMALL_TOKENS: readonly number[] = [1, 2, 5, 7, 8, 16, 17, 33, 64];
const DTYPES: readonly LogitsDtype[] = ['bf16', 'f16', 'f32'];
const IDS_DTYPES: readonly IdsDtype[] = ['i32', 'i64', 'u32'];
const SCORINGS: readonly Scoring[] = ['softmax', 'sigmoid', 'sqrtsoftplus'];
/** (E, K) of gpt-oss 20b and 120b, Mixtral, OLMoE, Qwen3, DeepSeek-V2, DeepSeek-V3, Kimi-K2, Qwen3-Next. */
const PUBLISHED: readonly (readonly [experts: number, topK: number])[] = [
  [32, 4],
  [128, 4],
  [8, 2],
  [64, 8],
  [128, 8],
  [160, 6],
  [256, 8],
  [384, 8],
  [512, 10],
];

/** All cases of a level. */
export function contractCases(level: SuiteLevel): ContractCase[] {
  return [
    ...shapeCases(level),
    ...tokenCases(level),
    ...publishedCases(level),
    ...scoringCases(level),
    ...groupCases(level),
    ...equalChoiceCases(level),
    ...tiedCases(level),
    ...layoutCases(level),
    ...rangeCases(level),
    ...degenerateCases(),
  ];
}

/** Every E with every K, in rotation with the dtypes, renormalisation and outputs. */
function shapeCases(level: SuiteLevel): ContractCase[] {
  const smoke = new Set([1, 6, 8, 32, 65, 128, 160, 256, 577, 1024]);
  const cases: ContractCase[] = [];
  let turn = 0;
  for (const [index, experts] of EXPERTS.entries()) {
    if (level === 'smoke' && !smoke.has(experts)) continue;
    const fitting = [...new Set([...TOP_KS, experts])].filter((topK) => topK <= Math.min(experts, 32));
    const kept = fitting.filter((topK, i) => {
      if (level === 'full') return true;
      if (level === 'smoke') return i === index % fitting.length;
      return i % 4 === index % 4 || topK === experts;
    });
    for (const topK of kept) {
      turn++;
      const config: RouterConfig = {
        experts,
        topK,
        logitsDtype: rotate(DTYPES, turn),
        idsDtype: rotate(IDS_DTYPES, Math.floor(turn / 3)),
        renormalize: turn % 2 === 0,
        tokenExpertIndices: turn % 3 === 0,
        dispatchPlan: turn % 5 < 2,
      };
      cases.push(makeCase('shapes', config, [patterned(config, rotate(SMALL_TOKENS, turn), turn), patterned(config)]));
    }
  }
  return cases;
}

/** Every T, at the shapes of gpt-oss and of the largest published test. */
function tokenCases(level: SuiteLevel): ContractCase[] {
  const tokens = {
    smoke: [0, 1, 2, 17, 200],
    quick: [0, 1, 2, 5, 7, 8, 16, 17, 33, 64, 128, 200, 256, 300, 512, 1000, 1024, 2047, 2048, 2049],
    full: [
      0, 1, 2, 5, 7, 8, 16, 17, 33, 64, 128, 200, 256, 300, 512, 1000, 1024, 2047, 2048, 2049, 4096, 10000, 16384,
      65536,
    ],
  }[level];
  const configs: RouterConfig[] = [
    { experts: 128, topK: 4, logitsDtype: 'bf16', dispatchPlan: true, tokenExpertIndices: true },
    { experts: 32, topK: 4, logitsDtype: 'f32' },
    { experts: 128, topK: 4, logitsDtype: 'f32', tokenExpertIndices: true },
    ...(level === 'smoke' ? [] : [{ experts: 256, topK: 8, logitsDtype: 'f16', renormalize: false } as const]),
  ];
  const cases = configs.map((config) =>
    makeCase(
      'token counts',
      config,
      tokens.map((count) => (count > 16384 ? plain(config, count) : patterned(config, count, count))),
    ),
  );
  if (level === 'full') {
    // Rows of f32 and of eight winners in the forms for many tokens.
    for (const more of [
      { experts: 128, topK: 8, logitsDtype: 'f32', renormalize: false },
      { experts: 64, topK: 1, logitsDtype: 'f32', idsDtype: 'i64' },
      { experts: 128, topK: 3, logitsDtype: 'f32', expertRange: [17, 90] },
      { experts: 256, topK: 8, logitsDtype: 'bf16' },
    ] as const satisfies readonly RouterConfig[]) {
      cases.push(makeCase('token counts', more, [patterned(more, 4096, 1), patterned(more, 16384, 2)]));
    }
    const config: RouterConfig = { experts: 256, topK: 8, logitsDtype: 'bf16' };
    cases.push(makeCase('token counts', config, [plain(config, 163840)]));
  }
  return cases;
}

/** The published models' shapes with every dtype, both renormalisations and every type of ids. */
function publishedCases(level: SuiteLevel): ContractCase[] {
  const cases: ContractCase[] = [];
  const shapes = level === 'smoke' ? PUBLISHED.slice(0, 2) : [...PUBLISHED, ...threeMore()];
  for (const [index, [experts, topK]] of shapes.entries()) {
    for (const [turn, logitsDtype] of DTYPES.entries()) {
      for (const renormalize of level === 'full' ? [true, false] : [(index + turn) % 2 === 0]) {
        for (const idsDtype of level === 'full' ? IDS_DTYPES : [rotate(IDS_DTYPES, index + turn)]) {
          const config: RouterConfig = { experts, topK, logitsDtype, renormalize, idsDtype, dispatchPlan: true };
          cases.push(makeCase('published shapes', config, [patterned(config), plain(config, 128)]));
        }
      }
    }
  }
  return cases;
}

/** The remaining shapes of FlyDSL's contract test: E 128 and 256 with K 4, 6 and 8. */
function threeMore(): readonly (readonly [experts: number, topK: number])[] {
  return [
    [128, 6],
    [256, 4],
    [256, 6],
  ];
}

/** Each scoring with and without renormalisation, bias and scaling. */
function scoringCases(level: SuiteLevel): ContractCase[] {
  const shapes = {
    smoke: [[64, 6]],
    quick: [
      [16, 3],
      [128, 8],
      [160, 6],
      [384, 6],
    ],
    full: [
      [6, 3],
      [16, 4],
      [33, 2],
      [64, 8],
      [96, 6],
      [128, 6],
      [128, 8],
      [160, 6],
      [256, 8],
      [288, 8],
      [384, 6],
      [384, 8],
      [512, 10],
      [640, 8],
      [896, 16],
      [1024, 16],
    ],
  }[level];
  const cases: ContractCase[] = [];
  let turn = 0;
  for (const [experts = 1, topK = 1] of shapes) {
    for (const scoring of SCORINGS) {
      for (const renormalize of [true, false]) {
        for (const hasBias of [true, false]) {
          turn++;
          const config: RouterConfig = {
            experts,
            topK,
            scoring,
            renormalize,
            logitsDtype: rotate(DTYPES, turn),
            routedScalingFactor: rotate([1, 1.5, 2.5], Math.floor(turn / 2)),
            ...(hasBias && { correctionBias: someBias(experts, `${experts} ${scoring}`, turn % 4 < 2 ? 0.5 : 0.01) }),
          };
          cases.push(makeCase('scorings', config, [patterned(config), plain(config, 33)]));
        }
      }
    }
  }
  return cases;
}

/** Expert groups: DeepSeek-V3's and V2's own, and groups of one, of two, all groups and one group. */
function groupCases(level: SuiteLevel): ContractCase[] {
  const deepSeekV3 = {
    experts: 256,
    topK: 8,
    groups: 8,
    topKGroups: 4,
    scoring: 'sigmoid',
    routedScalingFactor: 2.5,
  } as const;
  const deepSeekV2 = {
    experts: 160,
    topK: 6,
    groups: 8,
    topKGroups: 3,
    groupScore: 'max',
    renormalize: false,
    routedScalingFactor: 16,
  } as const;
  const configs: RouterConfig[] = [
    ...DTYPES.map((logitsDtype) => ({ ...deepSeekV3, logitsDtype, correctionBias: someBias(256, 'deepseek-v3', 0.1) })),
    { ...deepSeekV3, logitsDtype: 'bf16', dispatchPlan: true },
    { experts: 160, topK: 6, groups: 8, topKGroups: 3, logitsDtype: 'bf16', renormalize: false },
    { ...deepSeekV2, logitsDtype: 'bf16' },
  ];
  if (level !== 'smoke') {
    configs.push(
      { experts: 16, topK: 4, groups: 16, topKGroups: 5, correctionBias: someBias(16, 'groups of one', 1) },
      { experts: 64, topK: 8, groups: 32, topKGroups: 4, scoring: 'sigmoid', logitsDtype: 'f16' },
      { experts: 96, topK: 6, groups: 4, topKGroups: 1, scoring: 'sqrtsoftplus', logitsDtype: 'bf16' },
      { experts: 72, topK: 5, groups: 8, topKGroups: 8, scoring: 'sigmoid', correctionBias: someBias(72, 'all', 0.3) },
      { experts: 384, topK: 8, groups: 6, topKGroups: 2, scoring: 'sqrtsoftplus', logitsDtype: 'f32' },
      { experts: 512, topK: 32, groups: 16, topKGroups: 9, scoring: 'softmax', logitsDtype: 'bf16' },
      { ...deepSeekV2, logitsDtype: 'f32', dispatchPlan: true },
      // A lane's run holds several groups, part of one, and neither.
      { experts: 64, topK: 4, groups: 32, topKGroups: 3, groupScore: 'max', logitsDtype: 'f16' },
      { experts: 256, topK: 8, groups: 2, topKGroups: 1, groupScore: 'max', correctionBias: someBias(256, 'max', 0.1) },
      { experts: 72, topK: 5, groups: 6, topKGroups: 2, groupScore: 'max', scoring: 'sigmoid', logitsDtype: 'bf16' },
      { experts: 16, topK: 4, groups: 16, topKGroups: 5, groupScore: 'max' },
    );
  }
  if (level === 'full') {
    for (const [turn, scoring] of SCORINGS.entries()) {
      for (const renormalize of [true, false]) {
        for (const [experts = 1, groups = 1, topKGroups = 1, topK = 1] of [
          [32, 4, 2, 4],
          [128, 8, 4, 8],
          [256, 8, 4, 8],
          [1024, 32, 5, 16],
          [60, 6, 4, 7],
        ]) {
          const shape = { experts, topK, groups, topKGroups, scoring, renormalize };
          configs.push({
            ...shape,
            logitsDtype: rotate(DTYPES, turn + groups),
            correctionBias: someBias(experts, scoring, 0.2),
          });
        }
      }
    }
  }
  return configs.map((config) => makeCase('expert groups', config, [patterned(config), plain(config, 64)]));
}

/**
 * Rows of one or two logits under a bias of one value: every choice score has many equals, which keep their order however
 * the compiler has fused the arithmetic of one slot or another.
 */
function equalChoiceCases(level: SuiteLevel): ContractCase[] {
  const deepSeekV3 = { experts: 256, topK: 8, groups: 8, topKGroups: 4 } as const;
  const shapes = [{ experts: 160, topK: 8 }, deepSeekV3, { experts: 60, topK: 7, groups: 6, topKGroups: 3 }] as const;
  const configs = SCORINGS.flatMap((scoring) =>
    shapes.flatMap((shape) =>
      DTYPES.map((logitsDtype) => {
        const correctionBias = new Float32Array(shape.experts).fill(0.25);
        return { ...shape, scoring, logitsDtype, correctionBias };
      }),
    ),
  );
  // Three configurations of every scoring, in which each shape and each dtype occurs.
  const kept = configs.filter((_, i) => level !== 'smoke' || i % 3 === Math.floor(i / 3) % 3);
  return kept.map((config) => {
    const { experts, logitsDtype } = config;
    const call: ContractCall = {
      name: '48 rows of one logit, and of two',
      makeInput: () => {
        const random = seededRandom('equal choices');
        const values = new Float32Array(48 * experts);
        for (let row = 0; row < 48; row++) {
          const most = row === 0 ? -2.0126 : 6 * random() - 4;
          const few = row % 2 === 0 ? most : most + 0.5;
          for (let expert = 0; expert < experts; expert++) {
            values[row * experts + expert] = (expert + row) % 19 === 0 ? few : most;
          }
        }
        return { logits: encodeLogits(values, logitsDtype), options: {} };
      },
    };
    return makeCase('equal choice scores', config, [call]);
  });
}

/** f32 rows that hold bf16 values: at every number of winners some of them are equal, among themselves and with the next. */
function tiedCases(level: SuiteLevel): ContractCase[] {
  const shapes: readonly (readonly [experts: number, topK: number])[] = [
    [128, 8],
    [128, 4],
    [64, 6],
    ...(level === 'smoke'
      ? []
      : ([
          [64, 8],
          [100, 5],
          [128, 5],
          [256, 8],
          [32, 4],
          [8, 2],
          [33, 7],
          [64, 3],
          [128, 1],
        ] as const)),
  ];
  const few = { smoke: [130], quick: [2, 130], full: [2, 130, 2048] }[level];
  return shapes.map(([experts, topK], turn) => {
    const tokens = level === 'full' && experts === 128 ? [...few, 4096, 16_384] : few;
    const config: RouterConfig = { experts, topK, logitsDtype: 'f32', renormalize: turn % 2 === 0 };
    const calls = tokens.map((count): ContractCall => {
      const name = `${count} f32 rows of bf16 values`;
      return {
        name,
        makeInput: () => {
          const random = seededRandom(`${name} ${experts} ${topK}`);
          return { logits: tiedLogits(experts, count, random), options: count === 130 ? { rowCount: 127 } : {} };
        },
      };
    });
    return makeCase('equal logits', config, [...calls, patterned(config)]);
  });
}

/** Strided input, fewer tokens than the array holds, padding masks and row counts. */
function layoutCases(level: SuiteLevel): ContractCase[] {
  const configs: RouterConfig[] = [
    { experts: 128, topK: 4, logitsDtype: 'bf16', dispatchPlan: true, tokenExpertIndices: true },
    { experts: 256, topK: 8, logitsDtype: 'f32', idsDtype: 'i64', dispatchPlan: true },
  ];
  if (level !== 'smoke') {
    configs.push(
      { experts: 33, topK: 3, logitsDtype: 'f16', idsDtype: 'u32', dispatchPlan: true, tokenExpertIndices: true },
      { experts: 896, topK: 16, logitsDtype: 'f32', renormalize: false, scoring: 'sigmoid' },
      { experts: 64, topK: 6, logitsDtype: 'bf16', correctionBias: someBias(64, 'layout', 0.5), dispatchPlan: true },
    );
  }
  return configs.map((config) => {
    const { experts } = config;
    const rows = 40;
    const everyThird = Uint8Array.from({ length: rows }, (_, row) => (row % 3 === 0 ? 1 : 0));
    const highBytes = Uint8Array.from({ length: rows }, (_, row) => (row < 20 ? 0 : 255));
    const call = (name: string, stride: number, options: RouteOptions): ContractCall => ({
      name,
      makeInput: () => ({
        logits: patternedLogits(shapeOf(config), rows, stride, 3, seededRandom(name)),
        options: { ...options, ...(stride !== experts && { rowStride: stride }) },
      }),
    });
    return makeCase('layout', config, [
      call('row stride E + 1', experts + 1, {}),
      call('row stride E + 10', experts + 10, { tokens: rows }),
      call('row stride 2 E', 2 * experts, {}),
      call('fewer tokens than rows', experts, { tokens: 13 }),
      call('no tokens of many', experts, { tokens: 0 }),
      call('padding mask', experts, { paddingMask: everyThird }),
      call('padding mask of high bytes', experts, { paddingMask: highBytes }),
      call('all padding', experts, { paddingMask: new Uint8Array(rows).fill(1) }),
      ...[0, 1, 5, rows - 1, rows].map((rowCount) => call(`row count ${rowCount}`, experts, { rowCount })),
      call('all at once', experts + 6, { tokens: 31, paddingMask: everyThird, rowCount: 22 }),
    ]);
  });
}

/** Expert ranges, as the ranks of expert parallelism have them. */
function rangeCases(level: SuiteLevel): ContractCase[] {
  const shards: readonly (readonly [experts: number, topK: number, start: number, end: number])[] = [
    [16, 4, 0, 8],
    [16, 4, 8, 16],
    [16, 4, 4, 8],
    [256, 8, 64, 128],
    [256, 8, 192, 256],
    [96, 8, 32, 64],
    [128, 4, 0, 0],
    [128, 4, 127, 128],
  ];
  const configs: RouterConfig[] = shards
    .slice(0, level === 'smoke' ? 3 : shards.length)
    .map(([experts, topK, ...range], turn) => ({
      experts,
      topK,
      expertRange: range,
      logitsDtype: rotate(DTYPES, turn),
      idsDtype: rotate(IDS_DTYPES, Math.floor(turn / 2)),
      renormalize: turn % 3 !== 0,
      dispatchPlan: true,
      ...(turn % 4 === 3 && { correctionBias: someBias(experts, 'range', 0.5), scoring: 'sigmoid' }),
    }));
  return configs.map((config) => makeCase('expert ranges', config, [patterned(config), plain(config, 64)]));
}

/** Renormalisation whose sum is next to nothing, and a bias that outweighs every score. */
function degenerateCases(): ContractCase[] {
  const bias = new Float32Array(256).fill(11.2);
  const lopsided = Float32Array.from({ length: 256 }, (_, expert) => (expert >= 200 ? 50 : 0));
  const configs: RouterConfig[] = SCORINGS.flatMap((scoring) => [
    { experts: 256, topK: 8, scoring, correctionBias: bias },
    { experts: 256, topK: 8, scoring, correctionBias: lopsided, logitsDtype: 'bf16' },
  ]);
  return configs.map((config) => {
    const buried: ContractCall = {
      name: 'logits of -100 beside healthy rows',
      makeInput: () => {
        const logits = normalLogits(256, 'f32', 16, seededRandom('degenerate'));
        for (let row = 0; row < 16; row += 2) logits.fill(-100, row * 256, (row + 1) * 256);
        return { logits, options: {} };
      },
    };
    return makeCase(
      'degenerate renormalisation',
      config,
      config.logitsDtype === undefined ? [buried] : [patterned(config)],
    );
  });
}

function makeCase(section: string, config: RouterConfig, calls: readonly ContractCall[]): ContractCase {
  const words = [`E ${config.experts}`, `K ${config.topK}`, config.logitsDtype ?? 'f32', config.scoring ?? 'softmax'];
  if (config.renormalize === false) words.push('not renormalised');
  if (config.correctionBias !== undefined) words.push('bias');
  if (config.groups !== undefined) words.push(`groups ${config.topKGroups ?? config.groups} of ${config.groups}`);
  if (config.groupScore === 'max') words.push('by the best of each');
  if (config.expertRange !== undefined) words.push(`experts ${config.expertRange.join(' to ')}`);
  if (config.routedScalingFactor !== undefined) words.push(`scaled by ${config.routedScalingFactor}`);
  if (config.idsDtype !== undefined) words.push(`ids ${config.idsDtype}`);
  return { section, name: words.join(', '), config, calls };
}

/** Rows of every pattern in turn; without `tokens` as many as there are patterns, so that each occurs. */
function patterned(config: RouterConfig, tokens: number = PATTERN_COUNT, shift = 0): ContractCall {
  const name = `${tokens} patterned rows from pattern ${shift % PATTERN_COUNT}`;
  return {
    name,
    makeInput: () => ({
      logits: patternedLogits(shapeOf(config), tokens, config.experts, shift, seededRandom(name + config.experts)),
      options: {},
    }),
  };
}

function plain(config: RouterConfig, tokens: number): ContractCall {
  const name = `${tokens} rows of normal numbers`;
  const dtype = config.logitsDtype ?? 'f32';
  return {
    name,
    makeInput: () => ({
      logits: normalLogits(config.experts, dtype, tokens, seededRandom(name + config.experts)),
      options: {},
    }),
  };
}

function shapeOf(config: RouterConfig): { experts: number; topK: number; dtype: LogitsDtype } {
  return { experts: config.experts, topK: config.topK, dtype: config.logitsDtype ?? 'f32' };
}

function someBias(experts: number, seed: string, spread: number): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length: experts }, () => spread * (2 * random() - 1));
}

function rotate<Item>(items: readonly [Item, ...Item[]] | readonly Item[], turn: number): Item {
  const item = items[turn % items.length];
  if (item === undefined) throw new RangeError('There is nothing to rotate through.');
  return item;
}
