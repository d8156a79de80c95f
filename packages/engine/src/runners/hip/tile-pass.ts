/**
 * The order of launches of a pass by matrix tiles: what many tokens of a prompt go through at once, in a screen. Nothing here
 * waits.
 */

import type { StreamLike } from '@switchyard/gpu';
import { type PassParts, enqueueEmbedding, layersByKind, routingPlace } from './forward-pass.ts';
import type { TileLaunches } from './kernels.ts';
import { TILE_ROWS, mostItems } from './sizes.ts';
import { tileBlocks } from './tile-kernels.ts';

/** How large a launch has to be: exactly what the step block says. */
export interface TilePassSize {
  readonly rows: number;
  /** Runs of the step block. */
  readonly runs: number;
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

/** Norm, QKV with rotary embedding and KV write, attention, output projection. */
function enqueueAttention(
  { context, workspace, rotary, cache }: PassParts,
  kernels: TileLaunches,
  stream: StreamLike,
  { rows, runs }: TilePassSize,
  { weights, kind, place }: Layer,
): void {
  const { step, residual, normedBf16, queriesBf16, attendedBf16 } = workspace.at;
  const tiles = Math.ceil(rows / TILE_ROWS);
  const ofKind = { layer: place, isWindow: kind === 'sliding' ? 1 : 0 };
  kernels.normForQkv.launch(stream, rows, { step, gain: weights.inputNorm, residual, output: normedBf16 });
  kernels.qkv.launch(stream, tileBlocks(context, 'qkv', tiles), {
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
  kernels.attend.launch(stream, runs * context.config.keyValueHeads, {
    step,
    queries: queriesBf16,
    cache,
    sinks: weights.sinks,
    output: attendedBf16,
    runs,
    ...ofKind,
  });
  kernels.attentionOutput.launch(stream, tileBlocks(context, 'attentionOutput', tiles), {
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
  { rows }: TilePassSize,
  { weights: layer, index }: Layer,
): void {
  const { context, router, workspace } = parts;
  const { at } = workspace;
  const { step, residual, normedBf16, activatedBf16, expertOutput, list, sortedSlots } = at;
  kernels.normForExperts.launch(stream, rows, { step, gain: layer.expertNorm, residual, output: normedBf16 });
  kernels.gate.launch(stream, tileBlocks(context, 'gate', Math.ceil(rows / TILE_ROWS)), {
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
  kernels.listExperts.launch(stream, 1, { offsets: at.expertOffsets, list });
  const items = mostItems(context.config, rows, TILE_ROWS);
  kernels.gateUp.launch(stream, tileBlocks(context, 'gateUp', items), {
    codes: layer.gateUpCodes,
    scales: layer.gateUpScales,
    bias: layer.gateUpBias,
    input: normedBf16,
    list,
    sortedSlots,
    output: activatedBf16,
  });
  kernels.down.launch(stream, tileBlocks(context, 'down', items), {
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
