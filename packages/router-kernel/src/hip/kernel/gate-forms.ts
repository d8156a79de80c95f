/** The kernels of a gated router: the fused one for few tokens, and the gate projection by itself for more. */

import type { KernelTarget } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import type { GateShape } from '../../gate/gate-contract.ts';
import { GATE_PARTIAL_SUMS } from '../../gate/gate-contract.ts';
import { logitsAlignment, specializeTo } from './specialization.ts';
import { nextPowerOfTwo } from './launch-geometry.ts';
import { aloneGeometry, mostThreads } from './plan-geometry.ts';
import type { KernelForm } from './forms.ts';

/** One compiled form of a kernel that forms logits. */
export interface GateForm extends Omit<KernelForm, 'geometry'> {
  readonly threadsPerBlock: number;
  /** Blocks of the same tokens. */
  readonly blocksOfTile: number;
  /** Tokens of a block. */
  readonly tokensPerBlock: number;
}

/** The most tokens that the fused kernel takes, of any shape. */
export const MOST_FUSED_TOKENS = 4;

/** Of more weights than this, two launches are the faster from three tokens on, as measured on an H200. */
const MOST_WEIGHTS = 2 ** 20;

/** Of more slots than this, whoever lists their tiles looks at more than the scalar registers of gfx90a hold. */
const MOST_LISTED_SLOTS = 32;

/** The most tokens of a shape that the fused kernel takes. */
function mostFusedTokens({ hiddenSize, router }: GateShape): number {
  const listsMany = router.expertTiles !== null && MOST_FUSED_TOKENS * router.topK > MOST_LISTED_SLOTS;
  const isLarge = router.experts * hiddenSize > MOST_WEIGHTS;
  return isLarge || listsMany ? MOST_FUSED_TOKENS / 2 : MOST_FUSED_TOKENS;
}

/** Groups of lanes whose sums make a logit (parts/gate_sums.hip), and their lanes. */
const GROUPS = 4;
const GROUP_LANES = GATE_PARTIAL_SUMS / GROUPS;

/** Bytes of the words by which blocks of the fused kernel hand over sums: 0 before the first call, and left 0 by every call. */
export function handOverBytes({ router }: GateShape): number {
  return MOST_FUSED_TOKENS * GROUPS * router.experts * 4;
}

/** The gate projection by itself: one expert a team of all groups, whose weights serve four tokens. */
const TILE: GateTile = { experts: 1, tokens: 4, piecesAhead: 8 };

/** What a group of lanes takes. */
interface GateTile {
  readonly experts: number;
  readonly tokens: number;
  /** Pieces of weights that it asks for before the hidden states are known. */
  readonly piecesAhead: number;
}

/** The shape of the fused kernel's blocks. */
interface FusedTile extends GateTile {
  readonly threadsPerBlock: number;
  /** Teams that share a block's experts, each with tokens of its own. */
  readonly tokenTeams: number;
  /** Whether the block's hidden states come by shared memory. */
  readonly sharesHidden: boolean;
}

/** Experts, of more than which a group takes two tokens where there are as many as four. */
const FEW_GROUP_EXPERTS = 64;

/**
 * On NVIDIA, as measured on an H200: a token in each group, so that hidden states need no detour, and experts enough that
 * few blocks have to begin, and to end before the next launch may go on. Four tokens of many experts ask for the weights half as
 * often in pairs.
 */
function nvidiaTile({ experts }: ResolvedRouterConfig, tokens: number): FusedTile {
  const common = { piecesAhead: 28, threadsPerBlock: 128, sharesHidden: false };
  if (tokens === MOST_FUSED_TOKENS && experts > FEW_GROUP_EXPERTS) {
    return { ...common, experts: 2, tokens: 2, tokenTeams: 2 };
  }
  return { ...common, experts: 4, tokens: 1, tokenTeams: tokens };
}

/** On AMD one expert a group where there are few, so that as many multiprocessors as can be read weights. */
const FEW_EXPERTS = 256;
const EXPERTS_OF_GROUP = { few: 1, many: 2 } as const;
/** Tokens of a group there: more are shared out between teams, whose groups work at the same time. */
const MOST_GROUP_TOKENS = 2;

function amdTile(router: ResolvedRouterConfig, tokens: number, routingThreads: number): FusedTile {
  const wantedTeams = Math.max(1, tokens / MOST_GROUP_TOKENS);
  const tokenTeams = routingThreads * wantedTeams <= mostThreads(router) ? wantedTeams : 1;
  return {
    experts: router.experts <= FEW_EXPERTS ? EXPERTS_OF_GROUP.few : EXPERTS_OF_GROUP.many,
    tokens: tokens / tokenTeams,
    piecesAhead: 8,
    threadsPerBlock: routingThreads * tokenTeams,
    tokenTeams,
    sharesHidden: true,
  };
}

/**
 * The fused form for T tokens; null where there are too many for one block to route.
 *
 * @param padding whether a padding mask or a row count is passed
 */
export function gatedRouterForm(
  shape: GateShape,
  target: KernelTarget,
  { tokens, padding = false }: { readonly tokens: number; readonly padding?: boolean },
): GateForm | null {
  const { router } = shape;
  if (tokens > mostFusedTokens(shape)) return null;
  const loadBytes = Math.max(4, logitsAlignment(0n, router.experts, 'f32'));
  const alone = aloneGeometry(router, target, { tokens, loadBytes });
  if (alone === null) return null;
  const fusedTokens = nextPowerOfTwo(tokens);
  const tile =
    target.vendor === 'nvidia' ? nvidiaTile(router, fusedTokens) : amdTile(router, fusedTokens, alone.threadsPerBlock);
  const { threadsPerBlock, tokenTeams } = tile;
  // The kernel lets the next one begin by itself.
  const planShare = router.dispatchPlan ? 'alone' : 'none';
  const routing = specializeTo(
    router,
    target,
    { ...alone, threadsPerBlock, planShare, nextBegins: 'at the end' },
    padding,
  );
  const symbol = `gated_router_${nameOfTile(shape, tile)}x${tokenTeams}_${routing.symbol}`;
  const blockExperts = (threadsPerBlock / GROUP_LANES / tokenTeams) * tile.experts;
  return {
    symbol,
    source: 'gated_router',
    defines: {
      ...routing.defines,
      ...definesOfTile(shape, tile),
      ROUTER_GATE_TOKEN_TEAMS: tokenTeams,
      ROUTER_GATE_SHARES_HIDDEN: Number(tile.sharesHidden),
      ROUTER_SYMBOL: symbol,
    },
    threadsPerBlock,
    // The last one routes.
    blocksOfTile: GROUPS * Math.ceil(router.experts / blockExperts) + 1,
    tokensPerBlock: fusedTokens,
  };
}

/** The gate projection by itself, for any number of tokens. */
export function gateProjectionForm(shape: GateShape, target: KernelTarget): GateForm {
  const { experts } = shape.router;
  const threadsPerBlock = GATE_PARTIAL_SUMS;
  const symbol = `gate_projection_e${experts}_${nameOfTile(shape, TILE)}_threads${threadsPerBlock}`;
  return {
    symbol,
    source: 'gate_projection',
    defines: {
      ROUTER_SYMBOL: symbol,
      ROUTER_WAVE_SIZE: target.waveSize,
      ROUTER_EXPERTS: experts,
      ROUTER_THREADS: threadsPerBlock,
      ...definesOfTile(shape, TILE),
    },
    threadsPerBlock,
    blocksOfTile: Math.ceil(experts / TILE.experts),
    tokensPerBlock: TILE.tokens,
  };
}

function nameOfTile({ hiddenSize, hiddenDtype }: GateShape, { experts, tokens }: GateTile): string {
  return `h${hiddenSize}_${hiddenDtype}_tile${experts}x${tokens}`;
}

function definesOfTile(
  { hiddenSize, hiddenDtype }: GateShape,
  { experts, tokens, piecesAhead }: GateTile,
): Readonly<Record<string, number>> {
  return {
    ROUTER_GATE_HIDDEN: hiddenSize,
    ROUTER_GATE_HIDDEN_DTYPE: { bf16: 0, f32: 2 }[hiddenDtype],
    ROUTER_GATE_EXPERTS: experts,
    ROUTER_GATE_TOKENS: tokens,
    ROUTER_GATE_AHEAD: piecesAhead,
  };
}
