/**
 * The order of launches of a pass by matrix tiles: what many tokens of a prompt go through at once, in a screen. Nothing here
 * waits.
 */

import type { StreamLike } from '@switchyard/gpu';
import {
  type PassParts,
  type PassSize,
  enqueueEmbedding,
  enqueueVectorAttention,
  layersByKind,
  routingPlace,
} from './forward-pass.ts';
import type { TileLaunches } from './kernels.ts';
import type { PassKind } from './plan-passes.ts';
import { NORMED_TERMS, mostItems } from './sizes.ts';
import { tileBlocks, tileTokens } from './tile-kernels.ts';

/** How large a launch has to be: exactly what the step block says. */
export interface TilePassSize extends PassSize {
  readonly kind: Exclude<PassKind, 'vectors'>;
  /** Runs of the step block, for rows in one term. */
  readonly runs: number;
}

/** Terms of a kind's rows. */
const TERMS = { oneTermTiles: 1, twoTermTiles: 2 } as const;

/** As enqueueLayers. */
export function enqueueTileLayers(
  parts: PassParts,
  kernels: TileLaunches,
  stream: StreamLike,
  size: TilePassSize,
): void {
  enqueueEmbedding(parts, stream, size.rows);
  for (const layer of layersByKind(parts)) {
    enqueueAttention(parts, kernels, stream, size, layer);
    enqueueExperts(parts, kernels, stream, size, layer);
  }
}

type Layer = ReturnType<typeof layersByKind>[number];

/** Norm, QKV with rotary embedding and KV write, attention, output projection. */
function enqueueAttention(
  parts: PassParts,
  { common, oneTerm, twoTerms }: TileLaunches,
  stream: StreamLike,
  { kind, runs, ...size }: TilePassSize,
  { weights, kind: layerKind, place }: Layer,
): void {
  const { context, workspace, rotary, cache } = parts;
  const { step, residual, normedBf16, queriesBf16, queries, attendedBf16, attended } = workspace.at;
  const { rows } = size;
  const tiles = Math.ceil(rows / tileTokens(context, TERMS[kind], 'rows'));
  const ofKind = { layer: place, isWindow: layerKind === 'sliding' ? 1 : 0 } as const;
  const norm = { step, gain: weights.inputNorm, residual, output: normedBf16 };
  const qkv = {
    step,
    weight: weights.qkv,
    bias: weights.qkvBias,
    normed: normedBf16,
    cosines: rotary.cosines,
    sines: rotary.sines,
    cache,
    ...ofKind,
  };
  const output = {
    step,
    weight: weights.attentionOutput,
    bias: weights.attentionOutputBias,
    attended: attendedBf16,
    residual,
  };
  const qkvBlocks = tileBlocks(context, 'qkv', tiles);
  const outputBlocks = tileBlocks(context, 'attentionOutput', tiles);
  if (kind === 'oneTermTiles' && oneTerm !== null) {
    oneTerm.normInOneTerm.launch(stream, rows, norm);
    oneTerm.qkv.launch(stream, qkvBlocks, { ...qkv, queries: queriesBf16 });
    oneTerm.attend.launch(stream, runs * context.config.keyValueHeads, {
      step,
      queries: queriesBf16,
      cache,
      sinks: weights.sinks,
      output: attendedBf16,
      runs,
      ...ofKind,
    });
    oneTerm.attentionOutput.launch(stream, outputBlocks, output);
  } else {
    common.normInTwoTerms.launch(stream, rows, norm);
    twoTerms.qkv.launch(stream, qkvBlocks, { ...qkv, queries });
    enqueueVectorAttention(parts, stream, size, weights, ofKind);
    twoTerms.splitAttended.launch(stream, rows, { step, input: attended, output: attendedBf16 });
    twoTerms.attentionOutput.launch(stream, outputBlocks, output);
  }
}

/** Norm, gate projection, router, dispatch plan, experts, combine. */
function enqueueExperts(
  parts: PassParts,
  { common, oneTerm, twoTerms }: TileLaunches,
  stream: StreamLike,
  { rows, kind }: TilePassSize,
  { weights: layer, index }: Layer,
): void {
  const { context, router, workspace } = parts;
  const { at } = workspace;
  const { step, residual, normedBf16, activatedBf16, expertOutput, list, sortedSlots } = at;
  common.normInTwoTerms.launch(stream, rows, { step, gain: layer.expertNorm, residual, output: normedBf16 });
  common.gate.launch(stream, tileBlocks(context, 'gate', Math.ceil(rows / tileTokens(context, NORMED_TERMS, 'gate'))), {
    step,
    weight: layer.gate,
    bias: layer.gateBias,
    normed: normedBf16,
    logits: at.routerLogits,
  });
  const { ids, weights } = routingPlace(context, workspace, index, rows);
  router.enqueue(stream, {
    tokens: rows,
    logits: at.routerLogits,
    weights,
    ids,
    rowCount: step,
    dispatchPlan: { expertOffsets: at.expertOffsets, sortedSlots, workspace: at.planWorkspace },
  });
  const products = kind === 'oneTermTiles' && oneTerm !== null ? oneTerm : twoTerms;
  products.listExperts.launch(stream, 1, { offsets: at.expertOffsets, list });
  const items = mostItems(context.config, rows, tileTokens(context, TERMS[kind], 'slots'));
  products.gateUp.launch(stream, tileBlocks(context, 'gateUp', items), {
    codes: layer.gateUpCodes,
    scales: layer.gateUpScales,
    bias: layer.gateUpBias,
    input: normedBf16,
    list,
    sortedSlots,
    output: activatedBf16,
  });
  products.down.launch(stream, tileBlocks(context, 'down', items), {
    codes: layer.downCodes,
    scales: layer.downScales,
    bias: layer.downBias,
    input: activatedBf16,
    list,
    sortedSlots,
    output: expertOutput,
  });
  parts.kernels.combine.launch(stream, rows, { step, weights, output: expertOutput, residual });
}
