/**
 * What a router owes its caller whose logits it forms itself: the gate projection before the rules of contract.ts.
 *
 * - The logit of token t and expert e is the sum over h of hidden[t, h] * gateWeight[e, h], plus gateBias[e], in f32. It
 *   does not depend on what other tokens a call has, nor on how many: its order of addition follows from H alone, on
 *   every backend. 128 partial sums take pieces of 8 neighbouring columns in turns (piece p goes to sum p mod 128) and
 *   add products in the order of the columns, fused with the sum where the device can; then neighbouring partial sums
 *   are added in pairs until one is left, and the bias is added last. Experts of equal weights and biases have equal
 *   logits.
 * - A backend's logits lie within `gateRounding` of the exact ones (gate-reference.ts). Where a product of bf16 numbers is
 *   added, fused or not, it is rounded once.
 * - Ids, weights and the dispatch plan are those of contract.ts for these logits, whose dtype is f32.
 * - Rows that are padding have logits as others do.
 */

import type { ResolvedRouterConfig, RouteOptions, RouterBackend, RouterConfig, RouterOutput } from '../contract.ts';

/** How hidden states are stored. bf16 travels as its bits in a Uint16Array. */
export type HiddenDtype = 'bf16' | 'f32';
/** Hidden states of T tokens, row-major. */
export type HiddenStates = Uint16Array | Float32Array;

/** The largest hidden size (H). */
export const MAX_HIDDEN_SIZE = 65_536;
/** Columns of a piece of a row, in which rows are read: the hidden size is a multiple of it. */
export const GATE_PIECE_COLUMNS = 8;
/** Partial sums of a logit. */
export const GATE_PARTIAL_SUMS = 128;

/** What a gated router computes: a router of f32 logits, and the gate before it. */
export interface GatedRouterConfig extends Omit<RouterConfig, 'logitsDtype'> {
  /** H, the columns of a hidden state: a multiple of 8, from 8 to 65536. */
  readonly hiddenSize: number;
  /** How hidden states are stored. Defaults to `'bf16'`. */
  readonly hiddenDtype?: HiddenDtype;
  /** bf16 [E, H], row-major, as bits. Copied. */
  readonly gateWeight: Uint16Array;
  /** f32 [E], added to the logits. Copied. Defaults to none. */
  readonly gateBias?: Float32Array;
}

/** A GatedRouterConfig without its values, with every default filled in. */
export interface GateShape {
  /** H. */
  readonly hiddenSize: number;
  readonly hiddenDtype: HiddenDtype;
  /** Whether there is a gate bias. */
  readonly hasGateBias: boolean;
  /** The router of the logits, whose dtype is f32. */
  readonly router: ResolvedRouterConfig;
}

/** A GatedRouterConfig with every default filled in; `gateBias` is null where there is none. */
export interface ResolvedGatedRouterConfig extends GateShape {
  /** bf16 [E, H], as bits. */
  readonly gateWeight: Uint16Array;
  /** f32 [E]. */
  readonly gateBias: Float32Array | null;
}

/** What a gated router returns for T tokens. */
export interface GatedRouterOutput extends RouterOutput {
  /** f32 [T, E]: what was routed. */
  readonly routerLogits: Float32Array;
}

/** The gate projection and the router of one MoE layer on one device. */
export interface GatedRouter extends AsyncDisposable {
  readonly backend: RouterBackend;
  /** The device's name, such as 'AMD Instinct MI300X (gfx942)'. */
  readonly device: string;
  readonly config: GateShape;
  /**
   * Routes T hidden states of host memory: [T, rowStride] as Uint16Array (bf16) or Float32Array (f32), of any realm and over
   * memory of any kind. `rowStride` is in elements, at least H and H by default. The inputs are read before the call
   * returns its promise. Outputs are fresh arrays, owned by the caller.
   */
  route(hidden: HiddenStates, options?: RouteOptions): Promise<GatedRouterOutput>;
  /** Frees what the router owns; further calls throw DisposedError. Calling it again does nothing. */
  dispose(): Promise<void>;
}
