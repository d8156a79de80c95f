/**
 * The order of launches of one pass over the layers: what a token goes through, in a screen. Nothing here waits.
 */

import type { DevicePointer, StreamLike } from '@switchyard/gpu';
import type { HipRouter } from '@switchyard/router-kernel/hip';
import { mergeBlocks, windowFitsChunk } from './attention-kernels.ts';
import { denseBlocks, denseTile } from './dense-kernels.ts';
import type { DeviceWeights, LayerWeights } from './device-weights.ts';
import { expertBlocks } from './expert-kernels.ts';
import type { KernelContext } from './kernel-form.ts';
import type { HipKernels } from './kernels.ts';
import type { RotaryRows } from './rotary-rows.ts';
import { HEAD_ROWS, expertTile, mostItems, routingStride } from './sizes.ts';
import type { Workspace } from './workspace.ts';

/** What a pass runs with. */
export interface PassParts {
  readonly context: KernelContext;
  readonly kernels: HipKernels;
  readonly router: HipRouter;
  readonly weights: DeviceWeights;
  readonly workspace: Workspace;
  readonly rotary: RotaryRows;
  /** The KV blocks. */
  readonly cache: DevicePointer;
  /** Ids that have a token, from 0 up: no other is chosen. */
  readonly candidates: number;
}

/** How large a launch has to be. What the step block says may be less. */
export interface PassSize {
  /** At least 1, at most MOST_VECTOR_ROWS. */
  readonly rows: number;
  /** Chunks of keys of the row that sees most. */
  readonly mostChunks: number;
}

/** Blocks that share a row's chunks: more would find nothing to do in short rows, fewer would make long ones wait. */
const MOST_CHUNK_BLOCKS = 64;

/** Embedding and all layers; the residual stream is left in the workspace, the routers' choices beside it. */
export function enqueueLayers(parts: PassParts, stream: StreamLike, size: PassSize): void {
  enqueueEmbedding(parts, stream, size.rows);
  for (const { weights, index, ...ofKind } of layersByKind(parts)) {
    enqueueAttention(parts, stream, size, weights, ofKind);
    enqueueExperts(parts, stream, size, weights, index);
  }
}

/** The rows' tokens become the residual stream. */
export function enqueueEmbedding({ kernels, weights, workspace }: PassParts, stream: StreamLike, rows: number): void {
  const { step, residual } = workspace.at;
  kernels.embed.launch(stream, rows, { step, embedding: weights.outer.embedding, residual });
}

/** A layer, and its place among those of its kind. */
interface PlacedLayer {
  readonly weights: LayerWeights;
  readonly index: number;
  readonly kind: 'full' | 'sliding';
  readonly place: number;
}

/** The layers in the order of the model. */
export function layersByKind({ context, weights: { layers } }: PassParts): readonly PlacedLayer[] {
  const kinds = { full: 0, sliding: 0 };
  return layers.map((weights, index) => {
    const kind = context.config.layerTypes[index] ?? 'full';
    return { weights, index, kind, place: kinds[kind]++ };
  });
}

/** Norm, QKV with rotary embedding and KV write, attention, output projection. */
function enqueueAttention(
  { context, kernels, workspace, rotary, cache }: PassParts,
  stream: StreamLike,
  { rows, mostChunks }: PassSize,
  layer: LayerWeights,
  { kind, place }: { readonly kind: 'full' | 'sliding'; readonly place: number },
): void {
  const { at } = workspace;
  const { step, residual, queries, partials, attended } = at;
  const { config } = context;
  const tile = denseTile(rows);
  const tiles = Math.ceil(rows / tile);
  const dense = kernels.dense[tile];
  const isWindow = kind === 'sliding' ? 1 : 0;
  const hasOneChunk = mostChunks === 1 || (isWindow === 1 && windowFitsChunk(config));
  const chunks = hasOneChunk ? 1 : Math.min(mostChunks, MOST_CHUNK_BLOCKS);
  dense.qkv.launch(stream, denseBlocks(context, 'qkv', tiles), {
    step,
    weight: layer.qkv,
    bias: layer.qkvBias,
    gain: layer.inputNorm,
    residual,
    cosines: rotary.cosines,
    sines: rotary.sines,
    queries,
    cache,
    tiles,
    layer: place,
    isWindow,
  });
  kernels.attention.attend.launch(stream, rows * config.keyValueHeads * chunks, {
    step,
    queries,
    cache,
    sinks: layer.sinks,
    partials,
    output: attended,
    chunks,
    layer: place,
    isWindow,
  });
  if (!hasOneChunk) {
    kernels.attention.merge.launch(stream, mergeBlocks(context, rows), {
      step,
      sinks: layer.sinks,
      partials,
      output: attended,
    });
  }
  dense.attentionOutput.launch(stream, denseBlocks(context, 'attentionOutput', tiles), {
    step,
    weight: layer.attentionOutput,
    bias: layer.attentionOutputBias,
    attended,
    residual,
    tiles,
  });
}

/** Norm, gate projection, router, dispatch plan, experts, combine. */
function enqueueExperts(
  { context, kernels, router, workspace }: PassParts,
  stream: StreamLike,
  { rows }: PassSize,
  layer: LayerWeights,
  index: number,
): void {
  const { at } = workspace;
  const { step, residual, normed, activated, expertOutput, list, sortedSlots } = at;
  const denseOf = denseTile(rows);
  const tiles = Math.ceil(rows / denseOf);
  kernels.dense[denseOf].gate.launch(stream, denseBlocks(context, 'gate', tiles), {
    step,
    weight: layer.gate,
    bias: layer.gateBias,
    gain: layer.expertNorm,
    residual,
    logits: at.routerLogits,
    normed,
    tiles,
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
  const tile = expertTile(rows);
  const items = mostItems(context.config, rows, tile);
  if (tile > 1) kernels.listExperts.launch(stream, 1, { offsets: at.expertOffsets, list });
  const common = { step, ids, list, sortedSlots, items };
  const experts = kernels.experts[tile];
  experts.gateUp.launch(stream, expertBlocks(context, 'gateUp', items), {
    ...common,
    codes: layer.gateUpCodes,
    scales: layer.gateUpScales,
    bias: layer.gateUpBias,
    input: normed,
    output: activated,
  });
  experts.down.launch(stream, expertBlocks(context, 'down', items), {
    ...common,
    codes: layer.downCodes,
    scales: layer.downScales,
    bias: layer.downBias,
    input: activated,
    output: expertOutput,
  });
  kernels.combine.launch(stream, rows, { step, weights, output: expertOutput, residual });
}

/** Final norm, LM head and likeliest tokens of wanted rows `first` to `first + count` - 1, at most HEAD_ROWS. */
export function enqueueHead(
  { context, kernels, weights, workspace, candidates }: PassParts,
  stream: StreamLike,
  { first, count }: { readonly first: number; readonly count: number },
): void {
  const { step, residual, logits, tokens } = workspace.at;
  const tile = denseTile(count);
  const tiles = Math.ceil(count / tile);
  kernels.dense[tile].head.launch(stream, denseBlocks(context, 'head', tiles), {
    step,
    weight: weights.outer.head,
    gain: weights.outer.finalNorm,
    residual,
    logits,
    tiles,
    first,
    most: HEAD_ROWS,
  });
  kernels.chooseLargest.launch(stream, count, { step, logits, tokens, candidates, first });
}

/** Where a layer's ids and weights go in a launch for `rows` rows. */
export function routingPlace(
  { config }: KernelContext,
  { at }: Workspace,
  layer: number,
  rows: number,
): { readonly ids: DevicePointer; readonly weights: DevicePointer } {
  const stride = routingStride(config, rows);
  const ids = at.routing + BigInt(layer * stride);
  return { ids, weights: ids + BigInt(config.layers * stride) };
}
