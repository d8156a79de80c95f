/**
 * What every router implementation owes its caller: the configuration, its limits, the outputs and their layout.
 * resolve-config.ts fills in the defaults and checks the limits.
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

/** How logits are stored. bf16 and f16 travel as their bits in a Uint16Array. */
export type LogitsDtype = 'bf16' | 'f16' | 'f32';
/** How expert ids are written. -1 is 0xFFFFFFFF as u32 and -1n as i64. */
export type IdsDtype = 'i32' | 'u32' | 'i64';
/** The function from a router logit to a score. */
export type Scoring = 'softmax' | 'sigmoid' | 'sqrtsoftplus';
/** How an expert group ranks: by the sum of its two best choice scores (DeepSeek-V3), or by its best one (DeepSeek-V2). */
export type GroupScore = 'top2-sum' | 'max';

/** Rows of a row tile: what one block of a grouped matrix kernel takes of an expert. */
export type ExpertTileRows = 16 | 32 | 64 | 128;
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
  /** How a group ranks among the others. Defaults to `'top2-sum'`. */
  readonly groupScore?: GroupScore;
  /** Experts [start, end) that this rank owns; ids outside are written as -1 with weight 0. Defaults to [0, E). */
  readonly expertRange?: readonly [start: number, end: number];
  /** Also write token_expert_indices, i32 [T, K], k * T + t (vLLM's convention). Defaults to `false`. */
  readonly tokenExpertIndices?: boolean;
  /** Also make the dispatch plan. Defaults to `false`. */
  readonly dispatchPlan?: boolean;
  /** Also list, in the dispatch plan, the experts that have rows and their row tiles of this height. Defaults to none. */
  readonly expertTiles?: ExpertTileRows;
}

/** A RouterConfig with every default filled in; `correctionBias` and `expertTiles` are null where there are none. */
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
  readonly groupScore: GroupScore;
  readonly expertRange: readonly [start: number, end: number];
  readonly tokenExpertIndices: boolean;
  readonly dispatchPlan: boolean;
  readonly expertTiles: ExpertTileRows | null;
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
  /** Present where the configuration asks for it. */
  readonly expertTiles?: ExpertTiles;
}

/**
 * The work of a grouped matrix kernel: the experts that have rows, and the rows of each in tiles of `expertTiles` rows,
 * the last of an expert with what is left. A tile i of expert e = tileExperts[i] has the positions of sortedSlots from
 * tileStarts[i] up to the smaller of tileStarts[i] + `expertTiles` and expertOffsets[e + 1]. Tiles are in the order of
 * the plan. The lists are as long as they can become for T tokens (`expertTileCapacity`), so that a grid may be launched
 * without knowing how many tiles there are: a block that finds -1 has nothing to do.
 */
export interface ExpertTiles {
  /** i32 [2]: how many experts have rows, and how many tiles there are. */
  readonly counts: Int32Array;
  /** i32 [E]: the experts that have rows, ascending; -1 at and past counts[0]. */
  readonly activeExperts: Int32Array;
  /** i32 [expertTileCapacity]: the expert of each tile; -1 at and past counts[1]. */
  readonly tileExperts: Int32Array;
  /** i32 [expertTileCapacity]: each tile's first position in sortedSlots; -1 at and past counts[1]. */
  readonly tileStarts: Int32Array;
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

/** What a router whose configuration asks for the dispatch plan returns. */
export interface PlannedRouterOutput extends RouterOutput {
  readonly dispatchPlan: DispatchPlan;
}

/** A router whose configuration asks for the dispatch plan. */
export interface PlanningRouter extends Router {
  /** As `Router.route`; every output has its dispatch plan. */
  route(logits: Logits, options?: RouteOptions): Promise<PlannedRouterOutput>;
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
