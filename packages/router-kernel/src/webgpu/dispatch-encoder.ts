/** Writes the dispatches of a call into a compute pass. */

import { bindRange, outOfMemory } from '@switchyard/gpu/webgpu';
import type { BoundRange, CachedPipeline, GpuRange, UniformSource } from '@switchyard/gpu/webgpu';
import type { ResolvedRouterConfig } from '../contract.ts';
import { idBytes, logitBytes } from '../derived-config.ts';
import { expertTileCapacity, expertTilesLength, tileShapeOf } from '../expert-tiles.ts';
import type { PlanWorkspace } from './call-buffers.ts';
import type { PlanGpuBuffers, RouterGpuBuffers } from './gpu-ranges.ts';
import { hasVectorLoads, logitsPerVector, tokenRangeOf } from './kernel/launch-geometry.ts';
import type { LaunchGeometry } from './kernel/launch-geometry.ts';
import { ROUTE_BINDING } from './pipelines.ts';
import type { RoutePipelineKey, RouterPipelines } from './pipelines.ts';
import { PLAN_BLOCK, SUMMED_BLOCKS, tileWorkgroups } from './kernel/plan-shader.ts';
import { wordsPerStore } from './kernel/stores.ts';

/** A call's tokens, with every default filled in. */
export interface EncodedCall {
  /** T. */
  readonly tokens: number;
  /** Elements from one row of logits to the next. */
  readonly rowStride: number;
  /** Rows at and past it are padding. */
  readonly rowCount: number;
}

/** A buffer at a binding. */
export type BufferEntry = readonly [binding: number, resource: GPUBufferBinding];

/** What a dispatch binds that routes, but the numbers of the call and the correction bias. */
export interface BoundRoute {
  readonly key: RoutePipelineKey;
  readonly entries: readonly BufferEntry[];
  /** The numbers of the call, `Call` in kernels/parts/bindings.wgsl. */
  readonly numbersFor: (geometry: LaunchGeometry) => Uint32Array<ArrayBuffer>;
}

/** Tokens of one dispatch are cut at multiples of this, so that every row of it starts at a multiple of 256 bytes. */
const SLICE_STEP = 256;
/** GPUBufferUsage.STORAGE | COPY_DST. */
const STORAGE_USAGE = 0x88;

/** Encodes dispatches for one router. Owns the correction bias and scratch memory on the device. */
export class DispatchEncoder implements PlanWorkspace {
  readonly #config: ResolvedRouterConfig;
  readonly #device: GPUDevice;
  readonly #pipelines: RouterPipelines;
  readonly #bias: GPUBuffer | null;
  /** Stands in for a padding mask, a row count or a workspace that a call does not have. */
  readonly #nothing: GPUBuffer;
  #workspace: GPUBuffer | null = null;

  constructor(config: ResolvedRouterConfig, device: GPUDevice, pipelines: RouterPipelines) {
    this.#config = config;
    this.#device = device;
    this.#pipelines = pipelines;
    this.#nothing = device.createBuffer({ label: 'router nothing', size: 16, usage: STORAGE_USAGE });
    const { correctionBias } = config;
    this.#bias = null;
    if (correctionBias !== null) {
      this.#bias = device.createBuffer({
        label: 'router bias',
        size: Math.max(correctionBias.byteLength, 16),
        usage: STORAGE_USAGE,
      });
      device.queue.writeBuffer(this.#bias, 0, new Float32Array(correctionBias));
    }
  }

  /** The tokens that one dispatch can take, by how many bytes of logits may be bound at once. */
  sliceTokens(rowStride: number): number {
    const rowBytes = rowStride * logitBytes(this.#config.logitsDtype);
    const { maxStorageBufferBindingSize, minStorageBufferOffsetAlignment } = this.#device.limits;
    const fitting = Math.floor((maxStorageBufferBindingSize - minStorageBufferOffsetAlignment) / rowBytes);
    if (fitting < SLICE_STEP) throw outOfMemory(SLICE_STEP * rowBytes);
    return fitting - (fitting % SLICE_STEP);
  }

  /** Routes all tokens of a call, in as many dispatches as the device's limits need, and makes the plan. */
  encode(pass: GPUComputePassEncoder, buffers: RouterGpuBuffers, call: EncodedCall, uniforms: UniformSource): void {
    const step = this.sliceTokens(call.rowStride);
    for (let first = 0; first < call.tokens; first += step) {
      const count = Math.min(step, call.tokens - first);
      const start = first * call.rowStride * logitBytes(this.#config.logitsDtype);
      const logits = { buffer: buffers.logits.buffer, offset: (buffers.logits.offset ?? 0) + start };
      this.encodeSlice(pass, { ...buffers, logits }, call, first, count, uniforms);
    }
    this.encodePlan(pass, buffers, call.tokens, uniforms, this);
  }

  /** Routes `count` tokens from `first` on. `buffers.logits` starts at the first of them, the other ranges at token 0. */
  encodeSlice(
    pass: GPUComputePassEncoder,
    buffers: RouterGpuBuffers,
    call: EncodedCall,
    first: number,
    count: number,
    uniforms: UniformSource,
  ): void {
    const bound = this.bindRoute(buffers, call, first, count);
    const pipeline = this.#pipelines.route(bound.key);
    const entries = [...bound.entries];
    if (!bound.key.isContiguous) {
      entries.push([ROUTE_BINDING.call, uniforms.put(bound.numbersFor(pipeline.geometry))]);
    }
    if (this.#bias !== null) entries.push([ROUTE_BINDING.correctionBias, { buffer: this.#bias }]);
    this.dispatch(pass, pipeline, entries, Math.ceil(count / pipeline.geometry.tokensPerWorkgroup));
  }

  /** The bindings of `encodeSlice`, and the kind of pipeline that they need. */
  bindRoute(buffers: RouterGpuBuffers, call: EncodedCall, first: number, count: number): BoundRoute {
    const config = this.#config;
    const slots = call.tokens * config.topK;
    const elements = (count - 1) * call.rowStride + config.experts;
    const logits = this.bind(buffers.logits, 0, elements * logitBytes(config.logitsDtype));
    const weights = this.bind(buffers.weights, 0, slots * 4);
    const ids = this.bind(buffers.ids, 0, slots * idBytes(config.idsDtype));
    const indices = buffers.tokenExpertIndices && this.bind(buffers.tokenExpertIndices, 0, slots * 4);
    const nothing = { buffer: this.#nothing };
    const mask = this.bind(buffers.paddingMask ?? nothing, 0, buffers.paddingMask ? call.tokens : 4);
    const rowCount = this.bind(buffers.rowCount ?? nothing, 0, 4);

    const areOutputsAligned = [weights, ids, indices].every((bound) => bound === undefined || bound.lead % 16 === 0);
    const isVector = hasVectorLoads(config) && areRowsAligned(config, logits.lead, call.rowStride);
    const hasPadding =
      call.rowCount < call.tokens || buffers.paddingMask !== undefined || buffers.rowCount !== undefined;
    const isWhole = count === call.tokens && [logits, weights, ids, indices].every((bound) => (bound?.lead ?? 0) === 0);
    const key: RoutePipelineKey = {
      tokenRange: tokenRangeOf(count),
      isAligned: areOutputsAligned && isVector === hasVectorLoads(config),
      hasPadding,
      isContiguous: isWhole && call.rowStride === config.experts && !hasPadding,
    };
    const entries: BufferEntry[] = [
      [ROUTE_BINDING.logits, logits.binding],
      [ROUTE_BINDING.weights, weights.binding],
      [ROUTE_BINDING.ids, ids.binding],
    ];
    if (indices !== undefined) entries.push([ROUTE_BINDING.tokenExpertIndices, indices.binding]);
    if (hasPadding) {
      entries.push([ROUTE_BINDING.paddingMask, mask.binding], [ROUTE_BINDING.deviceRowCount, rowCount.binding]);
    }
    const numbersFor = (geometry: LaunchGeometry): Uint32Array<ArrayBuffer> => {
      const width = wordsPerStore(config, geometry, key.isAligned);
      const idWords = idBytes(config.idsDtype) / 4;
      return new Uint32Array([
        count,
        call.rowStride / geometry.logitsPerLoad,
        call.rowCount,
        logits.lead / logitBytes(config.logitsDtype) / geometry.logitsPerLoad,
        (weights.lead / 4 + first * config.topK) / width.weights,
        (ids.lead / 4 + first * config.topK * idWords) / width.ids,
        ((indices?.lead ?? 0) / 4 + first * config.topK) / width.weights,
        Number(buffers.paddingMask !== undefined),
        mask.lead + first,
        Number(buffers.rowCount !== undefined),
        rowCount.lead / 4,
        first,
        call.tokens,
      ]);
    };
    return { key, entries, numbersFor };
  }

  /** Makes the dispatch plan of T tokens from their ids, where the configuration asks for one. */
  encodePlan(
    pass: GPUComputePassEncoder,
    buffers: RouterGpuBuffers,
    tokens: number,
    uniforms: UniformSource,
    workspace: PlanWorkspace,
  ): void {
    if (buffers.dispatchPlan === undefined) return;
    const { expertOffsets, sortedSlots } = buffers.dispatchPlan;
    const { experts, topK } = this.#config;
    const slots = tokens * topK;
    const blocks = Math.max(1, Math.ceil(slots / PLAN_BLOCK));
    const ids = this.bind(buffers.ids, 0, slots * idBytes(this.#config.idsDtype));
    const offsets = this.bind(expertOffsets, 0, (experts + 1) * 4);
    const sorted = this.bind(sortedSlots, 0, slots * 4);
    const numbers = new Uint32Array([slots, blocks, ids.lead / 4, offsets.lead / 4, sorted.lead / 4]);
    const entries: BufferEntry[] = [
      [0, uniforms.put(numbers)],
      [1, ids.binding],
      [2, offsets.binding],
      [3, sorted.binding],
      // The counts, which one block does not need.
      [4, { buffer: blocks > 1 ? this.#workspaceOf(experts * (blocks + 1) * 4, workspace) : this.#nothing }],
    ];
    if (blocks === 1) {
      this.dispatch(pass, this.#pipelines.plan('plan_single'), entries, 1);
    } else {
      this.dispatch(pass, this.#pipelines.plan('plan_count'), entries, blocks);
      if (blocks > SUMMED_BLOCKS) this.dispatch(pass, this.#pipelines.plan('plan_scan'), entries, experts);
      this.dispatch(pass, this.#pipelines.plan('plan_place'), entries, blocks);
    }
    this.#encodeTiles(pass, buffers.dispatchPlan, tokens, uniforms);
  }

  /** Lists the row tiles of a plan that was made before in the pass, where the configuration asks for them. */
  #encodeTiles(
    pass: GPUComputePassEncoder,
    { expertOffsets, expertTiles }: PlanGpuBuffers,
    tokens: number,
    uniforms: UniformSource,
  ): void {
    const shape = tileShapeOf(this.#config);
    if (shape === null || expertTiles === undefined) return;
    const capacity = expertTileCapacity(shape, tokens);
    const workgroups = tileWorkgroups(capacity);
    const offsets = this.bind(expertOffsets, 0, (shape.experts + 1) * 4);
    const tiles = this.bind(expertTiles, 0, expertTilesLength(shape, tokens) * 4);
    const numbers = new Uint32Array([offsets.lead / 4, tiles.lead / 4, capacity, workgroups]);
    const entries: BufferEntry[] = [
      [0, uniforms.put(numbers)],
      [1, offsets.binding],
      [2, tiles.binding],
    ];
    this.dispatch(pass, this.#pipelines.tiles(shape), entries, workgroups);
  }

  /** Frees what the encoder owns. Passes that it wrote into must have been submitted. */
  destroy(): void {
    this.#bias?.destroy();
    this.#nothing.destroy();
    this.#workspace?.destroy();
  }

  /** Writes one dispatch into a pass. */
  dispatch(
    pass: GPUComputePassEncoder,
    { pipeline, bindGroupLayout }: CachedPipeline,
    entries: readonly BufferEntry[],
    workgroups: number,
  ): void {
    const bindGroup = this.#device.createBindGroup({
      layout: bindGroupLayout,
      entries: entries.map(([binding, resource]) => ({ binding, resource })),
    });
    const { maxComputeWorkgroupsPerDimension: most } = this.#device.limits;
    const columns = Math.min(workgroups, most);
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(columns, Math.ceil(workgroups / columns));
  }

  /** Scratch for plans of passes that somebody else submits. An outgrown buffer is left to those that still use it. */
  planWorkspace(bytes: number): GPUBuffer {
    if (this.#workspace !== null && this.#workspace.size >= bytes) return this.#workspace;
    const workspace = this.#device.createBuffer({ label: 'router workspace', size: bytes, usage: STORAGE_USAGE });
    this.#workspace = workspace;
    return workspace;
  }

  #workspaceOf(bytes: number, workspace: PlanWorkspace): GPUBuffer {
    this.#checkBytes(bytes);
    return workspace.planWorkspace(bytes);
  }

  /** Binds a range. @throws OutOfDeviceMemoryError where it is more than the device binds */
  bind(range: GpuRange, start: number, bytes: number): BoundRange {
    const bound = bindRange(range, start, bytes, this.#device.limits.minStorageBufferOffsetAlignment);
    this.#checkBytes(bound.lead + bytes);
    return bound;
  }

  #checkBytes(bytes: number): void {
    if (bytes > this.#device.limits.maxStorageBufferBindingSize) throw outOfMemory(bytes);
  }
}

function areRowsAligned(config: ResolvedRouterConfig, lead: number, rowStride: number): boolean {
  return lead % 16 === 0 && rowStride % logitsPerVector(config) === 0;
}
