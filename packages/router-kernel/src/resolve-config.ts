/** From what a caller writes to a configuration and call arguments with every default filled in and every limit checked. */

import { MAX_EXPERTS, MAX_TOP_K } from './contract.ts';
import type {
  ExpertTileRows,
  GroupScore,
  IdsDtype,
  Logits,
  LogitsDtype,
  ResolvedRouteArguments,
  ResolvedRouterConfig,
  RouteOptions,
  RouterConfig,
  Scoring,
} from './contract.ts';
import { InvalidArgumentError, InvalidConfigError } from './errors.ts';
import { knownOptions, refuseUnknownOptions } from './known-options.ts';
import { isDetached, isTypedArray, lengthOf } from './typed-arrays.ts';

const LOGITS_DTYPES: readonly LogitsDtype[] = ['bf16', 'f16', 'f32'];
const IDS_DTYPES: readonly IdsDtype[] = ['i32', 'u32', 'i64'];
const SCORINGS: readonly Scoring[] = ['softmax', 'sigmoid', 'sqrtsoftplus'];
const EXPERT_TILES: readonly ExpertTileRows[] = [16, 32, 64, 128];
const GROUP_SCORES: readonly GroupScore[] = ['top2-sum', 'max'];
const CONFIG_OPTIONS = knownOptions<RouterConfig>('router option', InvalidConfigError, {
  experts: true,
  topK: true,
  logitsDtype: true,
  idsDtype: true,
  scoring: true,
  renormalize: true,
  routedScalingFactor: true,
  correctionBias: true,
  groups: true,
  topKGroups: true,
  groupScore: true,
  expertRange: true,
  tokenExpertIndices: true,
  dispatchPlan: true,
  expertTiles: true,
});
const ROUTE_OPTIONS = knownOptions<RouteOptions>('route option', InvalidArgumentError, {
  tokens: true,
  rowStride: true,
  paddingMask: true,
  rowCount: true,
});
/** Slots are i32, so T * K may not pass this. */
const MAX_SLOTS = 2 ** 31 - 1;

/**
 * Fills in every default and checks every limit. The correction bias is copied, so that later writes to the caller's
 * array change nothing.
 *
 * @throws InvalidConfigError naming the first option that is wrong.
 */
export function resolveRouterConfig(config: RouterConfig): ResolvedRouterConfig {
  if (typeof config !== 'object' || config === null) {
    throw new InvalidConfigError(
      'config',
      config,
      `A router needs a configuration object · found ${show(config)} · pass one with experts and topK`,
    );
  }
  refuseUnknownOptions(CONFIG_OPTIONS, config);
  const experts = integerOption('experts', config.experts, 1, MAX_EXPERTS, 'the number of experts, E');
  const topK = integerOption('topK', config.topK, 1, Math.min(experts, MAX_TOP_K), 'the experts a token takes, K');
  const groups = integerOption('groups', config.groups ?? 1, 1, experts, 'the number of expert groups');
  if (experts % groups !== 0) {
    throw new InvalidConfigError(
      'groups',
      groups,
      `groups must divide the number of experts · found ${groups} groups for ${experts} experts · use a divisor of ${experts}`,
    );
  }
  const topKGroups = integerOption('topKGroups', config.topKGroups ?? groups, 1, groups, 'the groups that stay');
  const candidates = topKGroups * (experts / groups);
  if (topK > candidates) {
    throw new InvalidConfigError(
      'topKGroups',
      topKGroups,
      `The groups that stay must hold at least topK experts · found ${topKGroups} of ${groups} groups, which hold ${candidates}, and topK ${topK} · raise topKGroups or lower topK`,
    );
  }
  return Object.freeze({
    experts,
    topK,
    logitsDtype: choiceOption('logitsDtype', config.logitsDtype ?? 'f32', LOGITS_DTYPES),
    idsDtype: choiceOption('idsDtype', config.idsDtype ?? 'i32', IDS_DTYPES),
    scoring: choiceOption('scoring', config.scoring ?? 'softmax', SCORINGS),
    renormalize: booleanOption('renormalize', config.renormalize ?? true),
    routedScalingFactor: scalingOption(config.routedScalingFactor ?? 1),
    correctionBias: biasOption(config.correctionBias ?? null, experts),
    groups,
    topKGroups,
    groupScore: choiceOption('groupScore', config.groupScore ?? 'top2-sum', GROUP_SCORES),
    expertRange: rangeOption(config.expertRange ?? [0, experts], experts),
    tokenExpertIndices: booleanOption('tokenExpertIndices', config.tokenExpertIndices ?? false),
    dispatchPlan: booleanOption('dispatchPlan', config.dispatchPlan ?? false),
    expertTiles: tilesOption(config),
  });
}

/** Made once: a decode step routes without options, thousands of times a second. */
const NO_OPTIONS: RouteOptions = {};

/**
 * Checks the arguments of one `route` call against the configuration and fills in their defaults.
 *
 * @throws InvalidArgumentError naming the first argument that is wrong.
 */
export function checkRouteArguments(
  { experts, topK, logitsDtype }: ResolvedRouterConfig,
  logits: Logits,
  options?: RouteOptions,
): ResolvedRouteArguments {
  return checkRowArguments(rowsOfRouter({ experts, topK, logitsDtype }), logits, options);
}

/** The rows of logits that calls of a router take. */
export function rowsOfRouter({
  experts,
  topK,
  logitsDtype,
}: Pick<ResolvedRouterConfig, 'experts' | 'topK' | 'logitsDtype'>): RowsOfCall {
  return {
    argument: 'logits',
    content: 'logits',
    dtypeOption: 'logitsDtype',
    columns: experts,
    columnsName: 'the number of experts',
    dtype: logitsDtype,
    topK,
  };
}

/** The rows that a call takes, and what messages call them. */
export interface RowsOfCall {
  /** The argument that holds them. */
  readonly argument: string;
  /** What they are. */
  readonly content: string;
  /** The option that says how they are stored. */
  readonly dtypeOption: string;
  /** The elements of one, */
  readonly columns: number;
  /** and how many those are. */
  readonly columnsName: string;
  readonly dtype: LogitsDtype;
  /** K. */
  readonly topK: number;
}

/** As `checkRouteArguments`, for rows of any kind. */
export function checkRowArguments(
  { argument, content, dtypeOption, columns, columnsName, dtype, topK }: RowsOfCall,
  rows: Logits,
  options: RouteOptions = NO_OPTIONS,
): ResolvedRouteArguments {
  if (options !== NO_OPTIONS) refuseUnknownOptions(ROUTE_OPTIONS, options);
  if (!isTypedArray(rows, dtype === 'f32' ? 'Float32Array' : 'Uint16Array')) {
    const wanted = dtype === 'f32' ? 'a Float32Array' : `the bits of ${dtype} in a Uint16Array`;
    throw new InvalidArgumentError(
      argument,
      rows,
      `This router takes ${dtype} ${content} as ${wanted} · found ${show(rows)} · convert them, or set ${dtypeOption}`,
    );
  }
  const elements = lengthOf(rows, dtype === 'f32' ? 4 : 2);
  if (elements === 0) refuseDetached(argument, rows);
  const rowStride = options.rowStride ?? columns;
  if (!Number.isSafeInteger(rowStride) || rowStride < columns) {
    throw new InvalidArgumentError(
      'rowStride',
      rowStride,
      `rowStride must be an integer of at least ${columnsName}, ${columns} · found ${show(rowStride)} · count elements from one row's start to the next's`,
    );
  }
  const tokens = options.tokens ?? rowsHeld(argument, elements, rowStride, columns);
  if (!Number.isSafeInteger(tokens) || tokens < 0 || tokens * topK > MAX_SLOTS) {
    throw new InvalidArgumentError(
      'tokens',
      tokens,
      `tokens must be an integer from 0 to ${Math.floor(MAX_SLOTS / topK)} (slots are 32-bit) · found ${show(tokens)} · route more in several calls`,
    );
  }
  const needed = tokens === 0 ? 0 : (tokens - 1) * rowStride + columns;
  if (elements < needed) {
    throw new InvalidArgumentError(
      argument,
      rows,
      `${content} are too short: ${tokens} rows of ${columns} at a stride of ${rowStride} need ${needed} elements · found ${elements} · pass all rows, or fewer tokens`,
    );
  }
  const paddingMask = options.paddingMask ?? null;
  if (paddingMask !== null) {
    if (!isTypedArray(paddingMask, 'Uint8Array') || lengthOf(paddingMask, 1) < tokens) {
      throw new InvalidArgumentError(
        'paddingMask',
        paddingMask,
        `paddingMask must be a Uint8Array with a byte for each of the ${tokens} rows · found ${show(paddingMask)} · make it as long as there are rows`,
      );
    }
    if (tokens === 0) refuseDetached('paddingMask', paddingMask);
  }
  const rowCount = options.rowCount ?? tokens;
  if (!Number.isSafeInteger(rowCount) || rowCount < 0 || rowCount > tokens) {
    throw new InvalidArgumentError(
      'rowCount',
      rowCount,
      `rowCount must be an integer from 0 to the number of rows, ${tokens} · found ${show(rowCount)} · leave it out where every row counts`,
    );
  }
  return { tokens, rowStride, paddingMask, rowCount };
}

function refuseDetached(argument: string, array: ArrayBufferView): void {
  if (!isDetached(array)) return;
  throw new InvalidArgumentError(
    argument,
    array,
    `The memory of ${argument} is gone: its buffer was transferred or shrunk · found ${show(array)} · route before that, or pass a copy`,
  );
}

/** The rows in `length` elements; the last one may end at its last column. */
function rowsHeld(argument: string, length: number, rowStride: number, columns: number): number {
  const rest = length % rowStride;
  if (rest !== 0 && rest < columns) {
    throw new InvalidArgumentError(
      argument,
      length,
      `${argument} do not end at the end of a row · found ${length} elements, ${Math.floor(length / rowStride)} rows of ${rowStride} and ${rest} more · pass tokens to route fewer rows than the array holds`,
    );
  }
  return Math.floor(length / rowStride) + (rest === 0 ? 0 : 1);
}

function integerOption(option: string, value: number, least: number, most: number, meaning: string): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new InvalidConfigError(
      option,
      value,
      `${option} (${meaning}) must be an integer from ${least} to ${most} · found ${show(value)} · take it from the model's configuration`,
    );
  }
  return value;
}

function choiceOption<Choice extends string>(option: string, value: Choice, choices: readonly Choice[]): Choice {
  if (!choices.includes(value)) {
    throw new InvalidConfigError(
      option,
      value,
      `${option} must be one of ${choices.map((choice) => `'${choice}'`).join(', ')} · found ${show(value)} · choose one, or leave it out`,
    );
  }
  return value;
}

function booleanOption(option: string, value: boolean): boolean {
  if (typeof value !== 'boolean') {
    throw new InvalidConfigError(
      option,
      value,
      `${option} must be true or false · found ${show(value)} · choose one, or leave it out`,
    );
  }
  return value;
}

function tilesOption({ dispatchPlan, expertTiles }: RouterConfig): ExpertTileRows | null {
  if (expertTiles === undefined) return null;
  if (!EXPERT_TILES.includes(expertTiles)) {
    const heights = EXPERT_TILES.join(', ');
    const message = `expertTiles (the rows of a tile) must be one of ${heights} · found ${show(expertTiles)} · choose one, or leave it out`;
    throw new InvalidConfigError('expertTiles', expertTiles, message);
  }
  if (dispatchPlan !== true) {
    const message =
      'expertTiles are part of the dispatch plan · found a configuration that asks for none · set dispatchPlan to true';
    throw new InvalidConfigError('expertTiles', expertTiles, message);
  }
  return expertTiles;
}

function scalingOption(value: number): number {
  if (typeof value !== 'number' || !Number.isFinite(Math.fround(value))) {
    throw new InvalidConfigError(
      'routedScalingFactor',
      value,
      `routedScalingFactor must be a number that is finite in f32 · found ${show(value)} · take it from the model's configuration`,
    );
  }
  return value;
}

function biasOption(bias: Float32Array | null, experts: number): Float32Array | null {
  if (bias === null) return null;
  if (!isTypedArray(bias, 'Float32Array') || lengthOf(bias, 4) !== experts) {
    throw new InvalidConfigError(
      'correctionBias',
      bias,
      `correctionBias must be a Float32Array with one value for each of the ${experts} experts · found ${show(bias)} · convert the checkpoint's bias`,
    );
  }
  // Checked once it is copied: other threads may write to the caller's.
  const copy = new Float32Array(bias);
  const broken = copy.findIndex((value) => !Number.isFinite(value));
  if (broken !== -1) {
    throw new InvalidConfigError(
      'correctionBias',
      bias,
      `Every correctionBias must be finite · found ${copy[broken]} for expert ${broken} · repair the checkpoint's bias`,
    );
  }
  return copy;
}

function rangeOption(range: readonly [number, number], experts: number): readonly [start: number, end: number] {
  const pair: readonly number[] = Array.isArray(range) ? range : [];
  const [start = Number.NaN, end = Number.NaN] = pair;
  const fits =
    pair.length === 2 &&
    Number.isInteger(start) &&
    Number.isInteger(end) &&
    0 <= start &&
    start <= end &&
    end <= experts;
  if (!fits) {
    throw new InvalidConfigError(
      'expertRange',
      range,
      `expertRange must be [start, end) with 0 <= start <= end <= ${experts} · found ${show(range)} · leave it out for all experts`,
    );
  }
  return Object.freeze([start, end] as const);
}

/** A value as a short phrase for a message. */
export function show(value: unknown): string {
  if (ArrayBuffer.isView(value)) {
    const name: string = value.constructor?.name ?? 'an array';
    const length: unknown = Reflect.get(value, 'length');
    if (typeof length !== 'number') return `a ${name}`;
    return `${name}(${isDetached(value) ? 'detached' : length})`;
  }
  if (Array.isArray(value)) return `[${value.slice(0, 4).map(show).join(', ')}${value.length > 4 ? ', …' : ''}]`;
  if (typeof value === 'string') return `'${value.slice(0, 60)}'`;
  if (typeof value === 'object' && value !== null) return `an object (${value.constructor?.name ?? 'no prototype'})`;
  return String(value);
}
