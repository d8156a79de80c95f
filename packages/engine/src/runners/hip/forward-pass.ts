/**
 * The order of launches of one pass over the layers: what a token goes through, in a screen. Nothing here waits.
 */

import type { DevicePointer, StreamLike } from '@switchyard/gpu';
import type { HipRouter } from '@switchyard/router-kernel/hip';
import { attentionBlocks, windowFitsChunk } from './attention-kernels.ts';
import { type HeadRows, enqueueChoice } from './choice-pass.ts';
import { denseBlocks, denseTile, gateBlocks, gateTile } from './dense-kernels.ts';
import { termBlocks, termTile } from './dense-terms.ts';
import type { DeviceWeights, LayerWeights } from './device-weights.ts';
import { listedExpertBlocks, slotExpertBlocks } from './expert-kernels.ts';
import type { KernelContext } from './kernel-form.ts';
import type { HipKernels } from './kernels.ts';
import type { RotaryRows } from './rotary-rows.ts';
import { CHOSEN_TOKEN_BYTES, HEAD_ROWS, MOST_ROWS_BY_SLOT, isBySlot, routingStride } from './sizes.ts';
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
  /** Of the device. */
  readonly multiprocessors: number;
  /** Ids that have a token, from 0 up: no other is chosen. */
  readonly candidates: number;
  /** Who chooses experts in the place of the kernels of slots, for measuring. Null for nobody. */
  readonly routingBefore: RoutingBefore | null;
}

/** Experts of steps of few rows chosen by a kernel before those of the slots. */
export interface RoutingBefore {
  readonly slotExperts: HipKernels['slotExperts'];
  /** What they take for logits. */
  readonly routed: (layer: number) => DevicePointer;
  /** Enqueues the choice, where it was not made long before. */
  readonly enqueue: (stream: StreamLike, layer: number, rows: number, logits: DevicePointer) => void;
}

/** How large a launch has to be. What the step block says may be less. */
export interface PassSize {
  /** At least 1, at most MOST_VECTOR_ROWS. */
  readonly rows: number;
  /** Partial results of the row that sees most. */
  readonly mostPartials: number;
}

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
  const { step, residual, chosen } = workspace.at;
  kernels.embed.launch(stream, rows, { step, embedding: weights.outer.embedding, chosen, residual });
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

/** A layer as kernels are told: its place among those of its kind, and whether that has a window. */
interface OfKind {
  readonly layer: number;
  readonly isWindow: 0 | 1;
}

/** Norm, QKV with rotary embedding and KV write, attention, output projection. */
function enqueueAttention(
  parts: PassParts,
  stream: StreamLike,
  size: PassSize,
  layer: LayerWeights,
  { kind, place }: Pick<PlacedLayer, 'kind' | 'place'>,
): void {
  const { context, kernels, workspace } = parts;
  const { step, residual, attended } = workspace.at;
  const { rows } = size;
  const tile = denseTile(context, rows);
  const tiles = Math.ceil(rows / tile);
  const ofKind = { layer: place, isWindow: kind === 'sliding' ? 1 : 0 } as const;
  enqueueQkv(parts, stream, rows, layer, ofKind);
  enqueueVectorAttention(parts, stream, size, layer, ofKind);
  kernels.dense[tile].attentionOutput.launch(stream, denseBlocks(context, 'attentionOutput', tile, tiles), {
    step,
    weight: layer.attentionOutput,
    bias: layer.attentionOutputBias,
    attended,
    residual,
    tiles,
  });
}

/** Norm, QKV with rotary embedding and KV write. */
function enqueueQkv(
  { context, kernels, workspace, rotary, cache }: PassParts,
  stream: StreamLike,
  rows: number,
  layer: LayerWeights,
  ofKind: OfKind,
): void {
  const { step, residual, queries, terms, squares } = workspace.at;
  const common = {
    step,
    weight: layer.qkv,
    bias: layer.qkvBias,
    cosines: rotary.cosines,
    sines: rotary.sines,
    queries,
    cache,
    ...ofKind,
  };
  const ofTerms = termTile(context, rows);
  if (kernels.denseTerms !== null && ofTerms !== null) {
    const { split, products } = kernels.denseTerms;
    const tiles = Math.ceil(rows / ofTerms);
    split.ofStep.launch(stream, rows, { step, gain: layer.inputNorm, rows: residual, terms, squares, first: 0 });
    const blocks = termBlocks(context, 'qkv', ofTerms, tiles);
    products[ofTerms].qkv.launch(stream, blocks, { ...common, terms, squares, tiles });
    return;
  }
  const tile = denseTile(context, rows);
  const tiles = Math.ceil(rows / tile);
  const blocks = denseBlocks(context, 'qkv', tile, tiles);
  kernels.dense[tile].qkv.launch(stream, blocks, { ...common, gain: layer.inputNorm, residual, tiles });
}

/** Attention of rows whose queries are in f32, from which its output is too. */
function enqueueVectorAttention(
  { context: { config }, kernels, workspace, cache, multiprocessors }: PassParts,
  stream: StreamLike,
  { rows, mostPartials }: PassSize,
  { sinks }: LayerWeights,
  ofKind: OfKind,
): void {
  const { step, queries, partials, arrivals, attended: output } = workspace.at;
  const mostRuns = ofKind.isWindow === 1 && windowFitsChunk(config) ? 1 : mostPartials;
  const blocks = attentionBlocks(rows * config.keyValueHeads, mostRuns, multiprocessors);
  kernels.attend.launch(stream, rows * config.keyValueHeads * blocks, {
    step,
    queries,
    cache,
    sinks,
    partials,
    arrivals,
    output,
    blocks,
    ...ofKind,
  });
}

/** Norm, gate projection, router, experts, combine. */
function enqueueExperts(
  parts: PassParts,
  stream: StreamLike,
  { rows }: PassSize,
  layer: LayerWeights,
  index: number,
): void {
  const { context, kernels, workspace } = parts;
  const { step, residual, normed, routerLogits } = workspace.at;
  const tile = gateTile(rows);
  const tiles = Math.ceil(rows / tile);
  kernels.gate[tile].launch(stream, gateBlocks(context, tiles), {
    step,
    weight: layer.gate,
    bias: layer.gateBias,
    gain: layer.expertNorm,
    residual,
    logits: routerLogits,
    normed,
    tiles,
  });
  const routing = routingPlace(context, workspace, index, rows);
  // A choice made before is known to the kernels of slots alone.
  const isRouted = parts.routingBefore !== null && rows <= MOST_ROWS_BY_SLOT;
  const bySlot = isRouted || isBySlot(context.config, rows);
  if (bySlot) enqueueBySlot(parts, stream, rows, layer, { ...routing, index });
  else enqueueByExpert(parts, stream, rows, layer, routing);
}

/** Each slot by itself: few rows seldom share an expert, and a launch less is worth more than weights read once. */
function enqueueBySlot(
  { context, kernels, workspace, routingBefore }: PassParts,
  stream: StreamLike,
  rows: number,
  layer: LayerWeights,
  { ids, weights, index }: RoutingPlace & { readonly index: number },
): void {
  const { step, residual, routerLogits, activated } = workspace.at;
  routingBefore?.enqueue(stream, index, rows, routerLogits);
  const logits = routingBefore?.routed(index) ?? routerLogits;
  const slotExperts = routingBefore?.slotExperts ?? kernels.slotExperts;
  slotExperts.gateUp.launch(stream, slotExpertBlocks(context, 'gateUp', rows), {
    step,
    codes: layer.gateUpCodes,
    scales: layer.gateUpScales,
    bias: layer.gateUpBias,
    gain: layer.expertNorm,
    residual,
    logits,
    output: activated,
    slots: rows * context.config.expertsPerToken,
  });
  slotExperts.down.launch(stream, slotExpertBlocks(context, 'down', rows), {
    step,
    codes: layer.downCodes,
    scales: layer.downScales,
    bias: layer.downBias,
    logits,
    activated,
    ids,
    weights,
    residual,
    rows,
  });
}

/** The slots of an expert side by side, in the order of the router's dispatch plan. */
function enqueueByExpert(
  { context, kernels, router, workspace, multiprocessors }: PassParts,
  stream: StreamLike,
  rows: number,
  layer: LayerWeights,
  { ids, weights }: RoutingPlace,
): void {
  const { at } = workspace;
  const { step, residual, normed, activated, expertOutput, expertOffsets: offsets, sortedSlots } = at;
  router.enqueue(stream, {
    tokens: rows,
    logits: at.routerLogits,
    weights,
    ids,
    rowCount: step,
    dispatchPlan: { expertOffsets: offsets, sortedSlots, workspace: at.planWorkspace },
  });
  const { gateUp, down } = kernels.listedExperts;
  const ofGateUp = listedExpertBlocks(context, 'gateUp', { rows, multiprocessors });
  const ofDown = listedExpertBlocks(context, 'down', { rows, multiprocessors });
  const plan = { offsets, sortedSlots };
  gateUp.launch(stream, ofGateUp.blocks, {
    ...plan,
    room: ofGateUp.room,
    codes: layer.gateUpCodes,
    scales: layer.gateUpScales,
    bias: layer.gateUpBias,
    input: normed,
    output: activated,
  });
  down.launch(stream, ofDown.blocks, {
    ...plan,
    room: ofDown.room,
    codes: layer.downCodes,
    scales: layer.downScales,
    bias: layer.downBias,
    input: activated,
    output: expertOutput,
  });
  kernels.combine.launch(stream, rows, { step, weights, output: expertOutput, residual });
}

/** Final norm, LM head and tokens of wanted rows. */
export function enqueueHead(parts: PassParts, stream: StreamLike, rows: HeadRows): void {
  enqueueLogits(parts, stream, rows);
  enqueueChoice(parts, stream, rows);
}

/** Final norm and LM head. */
function enqueueLogits(
  { context, kernels, weights: { outer }, workspace }: PassParts,
  stream: StreamLike,
  { first, count }: HeadRows,
): void {
  const { step, residual, logits, terms, squares } = workspace.at;
  const common = { step, weight: outer.head, logits, first, most: HEAD_ROWS };
  const gain = outer.finalNorm;
  const ofTerms = termTile(context, count);
  if (kernels.denseTerms !== null && ofTerms !== null) {
    const { split, products } = kernels.denseTerms;
    const tiles = Math.ceil(count / ofTerms);
    split.ofWanted.launch(stream, count, { step, gain, rows: residual, terms, squares, first });
    const blocks = termBlocks(context, 'head', ofTerms, tiles);
    products[ofTerms].head.launch(stream, blocks, { ...common, terms, squares, tiles });
    return;
  }
  const tile = denseTile(context, count);
  const tiles = Math.ceil(count / tile);
  const blocks = denseBlocks(context, 'head', tile, tiles);
  kernels.dense[tile].head.launch(stream, blocks, { ...common, gain, residual, tiles });
}

/** Where a layer's ids and weights go. */
interface RoutingPlace {
  readonly ids: DevicePointer;
  readonly weights: DevicePointer;
}

/** The place in a launch for `rows` rows. */
export function routingPlace({ config }: KernelContext, { at }: Workspace, layer: number, rows: number): RoutingPlace {
  const stride = routingStride(config, rows);
  const ids = at.chosen + BigInt(CHOSEN_TOKEN_BYTES + layer * stride);
  return { ids, weights: ids + BigInt(config.layers * stride) };
}
