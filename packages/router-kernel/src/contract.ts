/**
 * What every router implementation owes its caller: the configuration, its limits, the outputs and their layout.
 *
 * The rules, which hold for every backend (the oracle in reference.ts is these lines as code):
 *
 * - `score(x)`: softmax over the row, sigmoid(x), or sqrt(log(1 + e^x)), which is e^(x / 2) where e^x is too small for
 *   f32. Choice score = score + correctionBias[e].
 * - Without a bias and without groups the ranking is by the logit itself, which every scoring preserves: ids are the
 *   stable descending argsort of the row. NaN ranks below -Inf; -0 equals +0; equal logits give the lower id first.
 * - With a bias, or with groups, the ranking is by the choice score in f32; a NaN logit ranks below everything; equal
 *   choice scores give the lower id first. Two experts whose choice scores differ by less than f32 rounding may come
 *   out either way; experts of equal logit and equal bias may not.
 * - Groups (DeepSeek-V3): E / groups neighbouring experts form a group; a group's rank is the sum of its two best
 *   choice scores (its only one where it has one; a NaN logit counts as -Inf); the topKGroups best groups stay (ties:
 *   the lower group), and the K best experts of those are taken.
 * - Weights come from the unbiased score. Softmax with renormalize: softmax over the K winners' logits, nothing else
 *   of the row. Softmax without: the full row's softmax. Sigmoid and sqrtsoftplus with renormalize: score /
 *   max(sum of K scores, 1e-20). routedScalingFactor multiplies last; a product past the largest finite f32 is that.
 * - Non-finite input, in this order. (1) A row with no logit above -Inf gets 1 / K each, whatever the scoring; so do
 *   K winners with no logit above -Inf under softmax with renormalize. (2) score(NaN) = 0 and score(-Inf) = 0.
 *   (3) Softmax with any +Inf (among the winners with renormalize, in the row without): each +Inf counts 1 and
 *   everything else 0 before normalisation. (4) sqrtsoftplus(+Inf) is the largest finite f32, for ranking and without
 *   renormalize; with renormalize and +Inf among the winners, each +Inf counts 1 and everything else 0.
 * - Padding rows (mask, or rows at and past the row count): ids -1, weights 0. Experts outside expertRange: the same
 *   for that slot; the other slots keep the weights that they have without a range. Such slots are in no plan.
 * - token_expert_indices are k * T + t for every slot, padding included.
 */

import { InvalidArgumentError, InvalidConfigError } from './errors.ts';
import { isDetached, isTypedArray, lengthOf } from './typed-arrays.ts';

/** How logits are stored. bf16 and f16 travel as their bits in a Uint16Array. */
export type LogitsDtype = 'bf16' | 'f16' | 'f32';
/** How expert ids are written. -1 is 0xFFFFFFFF as u32 and -1n as i64. */
export type IdsDtype = 'i32' | 'u32' | 'i64';
/** The function from a router logit to a score. */
export type Scoring = 'softmax' | 'sigmoid' | 'sqrtsoftplus';
/** Where a router runs. */
export type RouterBackend = 'cpu' | 'hip' | 'webgpu';

/** Router logits of T tokens, row-major. */
export type Logits = Uint16Array | Float32Array;
/** Expert ids, row-major [T, K]. */
export type ExpertIds = Int32Array | Uint32Array | BigInt64Array;

/** The largest number of experts (E). */
export const MAX_EXPERTS = 1024;
/** The largest number of experts a token can take (K). */
export const MAX_TOP_K = 32;
/** The largest finite f32: what a weight past it becomes. */
export const MAX_F32 = 3.4028234663852886e38;
/** The floor of the divisor in renormalisation. */
export const RENORMALIZE_EPSILON = 1e-20;

/** What a router computes. Everything but `experts` and `topK` has a default. */
export interface RouterConfig {
  /** E, the number of experts: 1 to 1024. */
  readonly experts: number;
  /** K, the experts each token takes: 1 to min(E, 32). */
  readonly topK: number;
  /** How the logits are stored. Defaults to `'f32'`. */
  readonly logitsDtype?: LogitsDtype;
  /** How ids are written. Defaults to `'i32'`. */
  readonly idsDtype?: IdsDtype;
  /** From logit to score. Defaults to `'softmax'`. */
  readonly scoring?: Scoring;
  /** Whether the K weights are made to sum to 1. Defaults to `true`. */
  readonly renormalize?: boolean;
  /** Multiplies every weight, last. Finite. Defaults to 1. */
  readonly routedScalingFactor?: number;
  /** f32 [E], added to the score for ranking only. Every value finite. Defaults to none. */
  readonly correctionBias?: Float32Array;
  /** Number of expert groups; divides E. Defaults to 1 (no groups). */
  readonly groups?: number;
  /** Groups that stay: 1 to `groups`, with K <= topKGroups * E / groups. Defaults to `groups`. */
  readonly topKGroups?: number;
  /** Experts [start, end) that this rank owns; ids outside are written as -1 with weight 0. Defaults to [0, E). */
  readonly expertRange?: readonly [start: number, end: number];
  /** Also write token_expert_indices, i32 [T, K], k * T + t (vLLM's convention). Defaults to `false`. */
  readonly tokenExpertIndices?: boolean;
  /** Also make the dispatch plan. Defaults to `false`. */
  readonly dispatchPlan?: boolean;
}

/** A RouterConfig with every default filled in; `correctionBias` is null where there is none. */
export interface ResolvedRouterConfig {
  readonly experts: number;
  readonly topK: number;
  readonly logitsDtype: LogitsDtype;
  readonly idsDtype: IdsDtype;
  readonly scoring: Scoring;
  readonly renormalize: boolean;
  readonly routedScalingFactor: number;
  readonly correctionBias: Float32Array | null;
  readonly groups: number;
  readonly topKGroups: number;
  readonly expertRange: readonly [start: number, end: number];
  readonly tokenExpertIndices: boolean;
  readonly dispatchPlan: boolean;
}

/** Per-call options of `Router.route`. */
export interface RouteOptions {
  /** T, the rows to route; T * K < 2^31. Defaults to the rows that `logits` holds. 0 is allowed. */
  readonly tokens?: number;
  /** Elements from one row to the next, >= E. Defaults to E. */
  readonly rowStride?: number;
  /** u8, at least [T]; a row whose byte is not 0 is padding. Defaults to none. */
  readonly paddingMask?: Uint8Array;
  /** Rows at and past this number are padding (the device-side row count): 0 to T. Defaults to T. */
  readonly rowCount?: number;
}

/** Slots grouped by expert. A slot is t * K + k. */
export interface DispatchPlan {
  /** i32 [E + 1]: expert e owns sortedSlots[expertOffsets[e] .. expertOffsets[e + 1]). */
  readonly expertOffsets: Int32Array;
  /** i32 [T * K]: slots ordered by expert, then by slot; -1 at and past expertOffsets[E]. */
  readonly sortedSlots: Int32Array;
}

/** What a router returns for T tokens. */
export interface RouterOutput {
  /** T. */
  readonly tokens: number;
  /** Expert ids, [T, K], best first. */
  readonly ids: ExpertIds;
  /** f32 [T, K]. */
  readonly weights: Float32Array;
  /** i32 [T, K], present where the configuration asks for it. */
  readonly tokenExpertIndices?: Int32Array;
  /** Present where the configuration asks for it. */
  readonly dispatchPlan?: DispatchPlan;
}

/** The router of one MoE layer shape on one device. */
export interface Router extends AsyncDisposable {
  readonly backend: RouterBackend;
  /** The device's name, such as 'AMD Instinct MI300X (gfx942)'. */
  readonly device: string;
  readonly config: ResolvedRouterConfig;
  /**
   * Routes T rows of host logits: [T, rowStride] as Uint16Array (bf16, f16) or Float32Array (f32), of any realm and
   * over memory of any kind. The inputs are read before the call returns its promise: what the caller does with them
   * afterwards changes nothing. They are not modified. Outputs are fresh arrays, owned by the caller.
   */
  route(logits: Logits, options?: RouteOptions): Promise<RouterOutput>;
  /** Frees what the router owns; further calls throw DisposedError. Calling it again does nothing. */
  dispose(): Promise<void>;
}

/** `RouteOptions` with every default filled in. */
export interface ResolvedRouteArguments {
  /** T. */
  readonly tokens: number;
  /** Elements from one row to the next. */
  readonly rowStride: number;
  /** u8, at least [T]; null where there is none. */
  readonly paddingMask: Uint8Array | null;
  /** Rows at and past it are padding: 0 to T. */
  readonly rowCount: number;
}

const LOGITS_DTYPES: readonly LogitsDtype[] = ['bf16', 'f16', 'f32'];
const IDS_DTYPES: readonly IdsDtype[] = ['i32', 'u32', 'i64'];
const SCORINGS: readonly Scoring[] = ['softmax', 'sigmoid', 'sqrtsoftplus'];
const CONFIG_OPTIONS: ReadonlySet<string> = new Set<keyof RouterConfig>([
  'experts',
  'topK',
  'logitsDtype',
  'idsDtype',
  'scoring',
  'renormalize',
  'routedScalingFactor',
  'correctionBias',
  'groups',
  'topKGroups',
  'expertRange',
  'tokenExpertIndices',
  'dispatchPlan',
]);
const ROUTE_OPTIONS: ReadonlySet<string> = new Set<keyof RouteOptions>([
  'tokens',
  'rowStride',
  'paddingMask',
  'rowCount',
]);
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
    throw new InvalidConfigError('config', config, `A router needs a configuration object; found ${show(config)}.`);
  }
  for (const option of Object.keys(config)) {
    if (!CONFIG_OPTIONS.has(option)) {
      const known = [...CONFIG_OPTIONS].join(', ');
      throw new InvalidConfigError(
        option,
        Reflect.get(config, option),
        `Unknown router option "${option}". The options are ${known}.`,
      );
    }
  }
  const experts = integerOption('experts', config.experts, 1, MAX_EXPERTS, 'the number of experts, E');
  const topK = integerOption('topK', config.topK, 1, Math.min(experts, MAX_TOP_K), 'the experts a token takes, K');
  const groups = integerOption('groups', config.groups ?? 1, 1, experts, 'the number of expert groups');
  if (experts % groups !== 0) {
    throw new InvalidConfigError(
      'groups',
      groups,
      `groups must divide the number of experts; found ${groups} groups for ${experts} experts. Use a divisor of ${experts}.`,
    );
  }
  const topKGroups = integerOption('topKGroups', config.topKGroups ?? groups, 1, groups, 'the groups that stay');
  const candidates = topKGroups * (experts / groups);
  if (topK > candidates) {
    throw new InvalidConfigError(
      'topKGroups',
      topKGroups,
      `The groups that stay must hold at least topK experts; ${topKGroups} of ${groups} groups hold ${candidates}, and topK is ${topK}. Raise topKGroups or lower topK.`,
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
    expertRange: rangeOption(config.expertRange ?? [0, experts], experts),
    tokenExpertIndices: booleanOption('tokenExpertIndices', config.tokenExpertIndices ?? false),
    dispatchPlan: booleanOption('dispatchPlan', config.dispatchPlan ?? false),
  });
}

/**
 * Checks the arguments of one `route` call against the configuration and fills in their defaults.
 *
 * @throws InvalidArgumentError naming the first argument that is wrong.
 */
export function checkRouteArguments(
  config: ResolvedRouterConfig,
  logits: Logits,
  options: RouteOptions = {},
): ResolvedRouteArguments {
  const { experts, topK, logitsDtype } = config;
  refuseUnknownOptions('route option', options, ROUTE_OPTIONS);
  if (!isTypedArray(logits, logitsDtype === 'f32' ? 'Float32Array' : 'Uint16Array')) {
    const wanted = logitsDtype === 'f32' ? 'a Float32Array' : `the bits of ${logitsDtype} in a Uint16Array`;
    throw new InvalidArgumentError(
      'logits',
      logits,
      `This router takes ${logitsDtype} logits as ${wanted}; found ${show(logits)}. Convert them, or set logitsDtype.`,
    );
  }
  const elements = lengthOf(logits, logitsDtype === 'f32' ? 4 : 2);
  if (elements === 0) refuseDetached('logits', logits);
  const rowStride = options.rowStride ?? experts;
  if (!Number.isSafeInteger(rowStride) || rowStride < experts) {
    throw new InvalidArgumentError(
      'rowStride',
      rowStride,
      `rowStride must be an integer of at least the number of experts, ${experts}; found ${show(rowStride)}.`,
    );
  }
  const tokens = options.tokens ?? rowsHeld(elements, rowStride, experts);
  if (!Number.isSafeInteger(tokens) || tokens < 0 || tokens * topK > MAX_SLOTS) {
    throw new InvalidArgumentError(
      'tokens',
      tokens,
      `tokens must be an integer from 0 to ${Math.floor(MAX_SLOTS / topK)} (slots are 32-bit); found ${show(tokens)}.`,
    );
  }
  const needed = tokens === 0 ? 0 : (tokens - 1) * rowStride + experts;
  if (elements < needed) {
    throw new InvalidArgumentError(
      'logits',
      logits,
      `logits are too short: ${tokens} rows of ${experts} at a stride of ${rowStride} need ${needed} elements; found ${elements}.`,
    );
  }
  const paddingMask = options.paddingMask ?? null;
  if (paddingMask !== null) {
    if (!isTypedArray(paddingMask, 'Uint8Array') || lengthOf(paddingMask, 1) < tokens) {
      throw new InvalidArgumentError(
        'paddingMask',
        paddingMask,
        `paddingMask must be a Uint8Array with a byte for each of the ${tokens} rows; found ${show(paddingMask)}.`,
      );
    }
    if (tokens === 0) refuseDetached('paddingMask', paddingMask);
  }
  const rowCount = options.rowCount ?? tokens;
  if (!Number.isSafeInteger(rowCount) || rowCount < 0 || rowCount > tokens) {
    throw new InvalidArgumentError(
      'rowCount',
      rowCount,
      `rowCount must be an integer from 0 to the number of rows, ${tokens}; found ${show(rowCount)}.`,
    );
  }
  return { tokens, rowStride, paddingMask, rowCount };
}

/**
 * Refuses names that nothing reads.
 *
 * @param kind what they are, for the message: 'route option'
 * @throws InvalidArgumentError naming the first
 */
export function refuseUnknownOptions(kind: string, options: object, known: ReadonlySet<string>): void {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidArgumentError('options', options, `${kind}s are an object; found ${show(options)}.`);
  }
  for (const name in options) {
    if (known.has(name) || !Object.hasOwn(options, name)) continue;
    throw new InvalidArgumentError(
      name,
      Reflect.get(options, name),
      `Unknown ${kind} "${name}". The ${kind}s are ${[...known].join(', ')}.`,
    );
  }
}

function refuseDetached(argument: string, array: ArrayBufferView): void {
  if (!isDetached(array)) return;
  throw new InvalidArgumentError(
    argument,
    array,
    `The memory of ${argument} is gone: its buffer was transferred or shrunk; found ${show(array)}. Route before that, or pass a copy.`,
  );
}

/** The rows in `length` elements; the last one may end at its E-th element. */
function rowsHeld(length: number, rowStride: number, experts: number): number {
  const rest = length % rowStride;
  if (rest !== 0 && rest < experts) {
    throw new InvalidArgumentError(
      'logits',
      length,
      `logits do not end at the end of a row: ${length} elements are ${Math.floor(length / rowStride)} rows of ${rowStride} and ${rest} more. Pass tokens to route fewer rows than the array holds.`,
    );
  }
  return Math.floor(length / rowStride) + (rest === 0 ? 0 : 1);
}

function integerOption(option: string, value: number, least: number, most: number, meaning: string): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new InvalidConfigError(
      option,
      value,
      `${option} (${meaning}) must be an integer from ${least} to ${most}; found ${show(value)}.`,
    );
  }
  return value;
}

function choiceOption<Choice extends string>(option: string, value: Choice, choices: readonly Choice[]): Choice {
  if (!choices.includes(value)) {
    throw new InvalidConfigError(
      option,
      value,
      `${option} must be one of ${choices.map((choice) => `'${choice}'`).join(', ')}; found ${show(value)}.`,
    );
  }
  return value;
}

function booleanOption(option: string, value: boolean): boolean {
  if (typeof value !== 'boolean') {
    throw new InvalidConfigError(option, value, `${option} must be true or false; found ${show(value)}.`);
  }
  return value;
}

function scalingOption(value: number): number {
  if (typeof value !== 'number' || !Number.isFinite(Math.fround(value))) {
    throw new InvalidConfigError(
      'routedScalingFactor',
      value,
      `routedScalingFactor must be a number that is finite in f32; found ${show(value)}.`,
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
      `correctionBias must be a Float32Array with one value for each of the ${experts} experts; found ${show(bias)}.`,
    );
  }
  // Checked once it is copied: other threads may write to the caller's.
  const copy = new Float32Array(bias);
  const broken = copy.findIndex((value) => !Number.isFinite(value));
  if (broken !== -1) {
    throw new InvalidConfigError(
      'correctionBias',
      bias,
      `Every correctionBias must be finite; found ${copy[broken]} for expert ${broken}. Repair the checkpoint's bias.`,
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
      `expertRange must be [start, end) with 0 <= start <= end <= ${experts}; found ${show(range)}.`,
    );
  }
  return Object.freeze([start, end] as const);
}

/** A value as a short phrase for a message. */
function show(value: unknown): string {
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
