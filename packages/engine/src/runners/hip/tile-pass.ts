/**
 * The order of launches of a pass by matrix tiles: what many tokens of a prompt go through at once, in a screen. Nothing here
 * waits.
 */

import type { StreamLike } from '@switchyard/gpu';
import { expertTileBlocks, expertTileItems, expertTileOf, readsArranged } from './expert-tile-kernels.ts';
import { type PassParts, type PassSize, enqueueEmbedding, layersByKind, routingPlace } from './forward-pass.ts';
import type { TileLaunches } from './kernels.ts';
import type { PassKind } from './plan-passes.ts';
import { type Terms, splitTermsOf } from './sizes.ts';
import { tileBlocks, tileTokens } from './tile-kernels.ts';

/** How large a launch has to be: exactly what the step block says. */
export interface TilePassSize extends PassSize {
  readonly kind: Exclude<PassKind, 'vectors'>;
  /** Runs of the step block. */
  readonly runs: number;
}

/** Terms of a kind's rows. */
function termsOf({ context }: PassParts, kind: TilePassSize['kind']): Terms {
  return kind === 'roundedTiles' ? 1 : splitTermsOf(context.kv, context.target.vendor);
}

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

/** The kernels of a kind: activations that are exact have none for rounded rows. */
function ofTerms({ rounded, split }: TileLaunches, kind: TilePassSize['kind']): TileLaunches['split'] {
  return kind === 'roundedTiles' && rounded !== null ? rounded : split;
}

/** Norm, QKV with rotary embedding and KV write, attention, output projection. */
function enqueueAttention(
  parts: PassParts,
  kernels: TileLaunches,
  stream: StreamLike,
  { kind, runs, rows }: TilePassSize,
  { weights, kind: layerKind, place }: Layer,
): void {
  const { context, workspace, rotary, cache } = parts;
  const { step, residual, normedBf16, queriesBf16, attendedBf16 } = workspace.at;
  const { norm, qkv, attend, attentionOutput } = ofTerms(kernels, kind);
  const tiles = Math.ceil(rows / tileTokens(context, termsOf(parts, kind), 'rows'));
  const ofKind = { layer: place, isWindow: layerKind === 'sliding' ? 1 : 0 } as const;
  norm.launch(stream, rows, { step, gain: weights.inputNorm, residual, output: normedBf16, arranged: 0 });
  qkv.launch(stream, tileBlocks(context, 'qkv', tiles), {
    step,
    weight: weights.qkv,
    bias: weights.qkvBias,
    normed: normedBf16,
    cosines: rotary.cosines,
    sines: rotary.sines,
    queries: queriesBf16,
    cache,
    ...ofKind,
  });
  attend.launch(stream, runs * context.config.keyValueHeads, {
    step,
    queries: queriesBf16,
    cache,
    sinks: weights.sinks,
    output: attendedBf16,
    runs,
    ...ofKind,
  });
  attentionOutput.launch(stream, tileBlocks(context, 'attentionOutput', tiles), {
    step,
    weight: weights.attentionOutput,
    bias: weights.attentionOutputBias,
    attended: attendedBf16,
    residual,
  });
}

/** Norm, gate projection, router, dispatch plan, experts, combine. */
function enqueueExperts(
  parts: PassParts,
  kernels: TileLaunches,
  stream: StreamLike,
  { rows, kind }: TilePassSize,
  { weights: layer, index }: Layer,
): void {
  const { context, router, workspace } = parts;
  const { at } = workspace;
  const { step, residual, normedBf16, arrangedBf16, activatedBf16, expertOutput, list, sortedSlots } = at;
  const { gate } = kernels.common;
  const { expertNorm, experts } = ofTerms(kernels, kind);
  expertNorm.launch(stream, rows, {
    step,
    gain: layer.expertNorm,
    residual,
    output: normedBf16,
    arranged: arrangedBf16,
  });
  gate.launch(
    stream,
    tileBlocks(
      context,
      'gate',
      Math.ceil(rows / tileTokens(context, splitTermsOf(context.kv, context.target.vendor), 'gate')),
    ),
    {
      step,
      weight: layer.gate,
      bias: layer.gateBias,
      normed: normedBf16,
      logits: at.routerLogits,
    },
  );
  const { ids, weights } = routingPlace(context, workspace, index, rows);
  router.enqueue(stream, {
    tokens: rows,
    logits: at.routerLogits,
    weights,
    ids,
    rowCount: step,
    dispatchPlan: { expertOffsets: at.expertOffsets, sortedSlots, workspace: at.planWorkspace },
  });
  const tile = expertTileOf(context, rows);
  const { listExperts, gateUp, down } = experts[tile];
  listExperts.launch(stream, 1, { offsets: at.expertOffsets, list });
  const items = expertTileItems(context, termsOf(parts, kind), rows);
  gateUp.launch(stream, expertTileBlocks(context, 'gateUp', tile, items), {
    codes: layer.gateUpCodes,
    scales: layer.gateUpScales,
    bias: layer.gateUpBias,
    input: readsArranged(context) ? arrangedBf16 : normedBf16,
    list,
    sortedSlots,
    output: activatedBf16,
  });
  down.launch(stream, expertTileBlocks(context, 'down', tile, items), {
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
