/** The kernels of a gated router: the fused one for few tokens, and the gate projection by itself for more. */

import type { KernelTarget } from '@switchyard/gpu';
import type { GateShape } from '../../gate/gate-contract.ts';
import { GATE_PARTIAL_SUMS } from '../../gate/gate-contract.ts';
import { logitsAlignment, specializeTo } from './specialization.ts';
import { nextPowerOfTwo } from './launch-geometry.ts';
import { aloneGeometry, mostThreads } from './plan-geometry.ts';
import type { KernelForm } from './forms.ts';

/** One compiled form of a kernel that forms logits. */
export interface GateForm extends Omit<KernelForm, 'geometry'> {
  readonly threadsPerBlock: number;
  /** Blocks that share the experts of the same tokens. */
  readonly expertBlocks: number;
  /** Tokens of a block. */
  readonly tokensPerBlock: number;
}

/** The most tokens that the fused kernel takes, of any shape. */
export const MOST_FUSED_TOKENS = 4;

/** Of more weights than this, two launches are the faster from three tokens on, as measured on an H200. */
const MOST_WEIGHTS = 2 ** 20;

/** The most tokens of a shape that the fused kernel takes. */
function mostFusedTokens({ hiddenSize, router }: GateShape): number {
  return router.experts * hiddenSize <= MOST_WEIGHTS ? MOST_FUSED_TOKENS : MOST_FUSED_TOKENS / 2;
}

/** Bytes of the words by which blocks of the fused kernel hand over logits: 0 before the first call, and left 0 by every call. */
export function handOverBytes({ router }: GateShape): number {
  return MOST_FUSED_TOKENS * router.experts * 8;
}

/** Experts of a team in the fused kernel: one where there are few, so that as many multiprocessors as can be read weights. */
const FEW_EXPERTS = 256;
const EXPERTS_OF_TEAM = { few: 1, many: 2 } as const;
/** Teams of the fused kernel's blocks, each for tokens of its own: hidden states arrive sooner at more threads. */
const MOST_TOKEN_TEAMS = 4;
/** The gate projection by itself: one expert a team, whose weights serve four tokens. */
const TILE: GateTile = { experts: 1, tokens: 4, tokenTeams: 1 };

/** What a team of 128 threads takes. */
interface GateTile {
  readonly experts: number;
  readonly tokens: number;
  /** Teams that share experts, each with tokens of its own. */
  readonly tokenTeams: number;
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
  const planShare = router.dispatchPlan ? 'alone' : 'none';
  const blockTokens = nextPowerOfTwo(tokens);
  const wantedThreads = GATE_PARTIAL_SUMS * Math.min(blockTokens, MOST_TOKEN_TEAMS);
  const threadsPerBlock = Math.min(mostThreads(router), Math.max(alone.threadsPerBlock, wantedThreads));
  const tokenTeams = Math.min(blockTokens, MOST_TOKEN_TEAMS, threadsPerBlock / GATE_PARTIAL_SUMS);
  const tile: GateTile = {
    experts: router.experts <= FEW_EXPERTS ? EXPERTS_OF_TEAM.few : EXPERTS_OF_TEAM.many,
    tokens: blockTokens / tokenTeams,
    tokenTeams,
  };
  // The kernel lets the next one begin by itself.
  const geometry = { ...alone, threadsPerBlock, planShare, nextBegins: 'at the end' } as const;
  const routing = specializeTo(router, target, geometry, padding);
  const symbol = `gated_router_${nameOfTile(shape, tile)}_${routing.symbol}`;
  return {
    symbol,
    source: 'gated_router',
    defines: { ...routing.defines, ...definesOfTile(shape, tile), ROUTER_SYMBOL: symbol },
    threadsPerBlock,
    expertBlocks: expertBlocks(shape, tile, threadsPerBlock),
    tokensPerBlock: blockTokens,
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
    expertBlocks: expertBlocks(shape, TILE, threadsPerBlock),
    tokensPerBlock: TILE.tokens * TILE.tokenTeams,
  };
}

function expertBlocks({ router }: GateShape, { experts, tokenTeams }: GateTile, threads: number): number {
  return Math.ceil(router.experts / ((threads / GATE_PARTIAL_SUMS / tokenTeams) * experts));
}

function nameOfTile({ hiddenSize, hiddenDtype }: GateShape, { experts, tokens, tokenTeams }: GateTile): string {
  return `h${hiddenSize}_${hiddenDtype}_tile${experts}x${tokens}x${tokenTeams}`;
}

function definesOfTile(
  { hiddenSize, hiddenDtype }: GateShape,
  { experts, tokens, tokenTeams }: GateTile,
): Readonly<Record<string, number>> {
  return {
    ROUTER_GATE_HIDDEN: hiddenSize,
    ROUTER_GATE_HIDDEN_DTYPE: { bf16: 0, f32: 2 }[hiddenDtype],
    ROUTER_GATE_EXPERTS: experts,
    ROUTER_GATE_TOKENS: tokens,
    ROUTER_GATE_TOKEN_TEAMS: tokenTeams,
  };
}
