/** Gate projection, router and dispatch plan of few tokens as one dispatch. */

import type { UniformSource } from '@switchyard/gpu/webgpu';
import { expertTileCapacity, expertTilesLength, tileShapeOf } from '../expert-tiles.ts';
import type { GateShape } from '../gate/gate-contract.ts';
import type { BufferEntry, DispatchEncoder, EncodedCall } from './dispatch-encoder.ts';
import type { BoundHidden, GateEncoder } from './gate-encoder.ts';
import type { PlanGpuBuffers, RouterGpuBuffers } from './gpu-ranges.ts';
import { GATE_ROWS } from './kernel/gate-values.ts';
import { GATE_BINDING, ROUTE_BINDING } from './pipelines.ts';
import type { RouterPipelines } from './pipelines.ts';

/** GPUBufferUsage.STORAGE, whose global Node does not have. */
const STORAGE = 0x80;

/** What the encoder stands on: the gate, and the parts of the router behind it. */
export interface FusedGateParts {
  readonly gate: GateEncoder;
  readonly encoder: DispatchEncoder;
  readonly pipelines: RouterPipelines;
}

/** The plan's bindings, and its numbers in GateCall of kernels/parts/gate_sums.wgsl. */
interface BoundPlan {
  readonly entries: readonly BufferEntry[];
  readonly numbers: readonly number[];
}

/** Encodes the one dispatch. Owns the memory by which its workgroups hand over logits. */
export class FusedGateEncoder {
  readonly #gate: GateEncoder;
  readonly #encoder: DispatchEncoder;
  readonly #pipelines: RouterPipelines;
  /** At zero before every dispatch and after it, as WebGPU makes it: see kernels/parts/hand_over_logits.wgsl. */
  readonly #handOver: GPUBuffer;

  /** Bytes of device memory that the encoder owns. */
  get bytes(): number {
    return this.#handOver.size;
  }

  constructor({ gate, encoder, pipelines }: FusedGateParts, device: GPUDevice) {
    this.#gate = gate;
    this.#encoder = encoder;
    this.#pipelines = pipelines;
    const words = 1 + GATE_ROWS * gate.shape.router.experts;
    this.#handOver = device.createBuffer({ label: 'gate hand-over', size: words * 4, usage: STORAGE });
  }

  /**
   * Writes the dispatch of T tokens into a pass, whose buffers are checked. False, and nothing is written, where there are too
   * many tokens or the device cannot do it.
   *
   * @throws OutOfDeviceMemoryError
   */
  encode(
    pass: GPUComputePassEncoder,
    hidden: BoundHidden,
    buffers: RouterGpuBuffers,
    call: EncodedCall,
    uniforms: UniformSource,
  ): boolean {
    if (call.tokens === 0 || call.tokens > GATE_ROWS) return false;
    const { shape } = this.#gate;
    const bound = this.#encoder.bindRoute(buffers, call, 0, call.tokens);
    const pipeline = this.#pipelines.gated(shape, { ...bound.key, isContiguous: false });
    if (pipeline === null) return false;
    const plan = this.#bindPlan(shape, buffers.dispatchPlan, call.tokens);
    // The router knows where logits start.
    const numbers = [call.tokens, hidden.rowVectors, hidden.startVector, 0, ...plan.numbers];
    const entries: readonly BufferEntry[] = [
      ...bound.entries,
      [ROUTE_BINDING.call, uniforms.put(bound.numbersFor(pipeline.geometry))],
      [GATE_BINDING.call, uniforms.put(new Uint32Array(numbers))],
      [GATE_BINDING.hidden, hidden.binding],
      [GATE_BINDING.parameters, { buffer: this.#gate.parameters }],
      [GATE_BINDING.handOver, { buffer: this.#handOver }],
      ...plan.entries,
    ];
    this.#encoder.dispatch(pass, pipeline, entries, shape.router.experts);
    return true;
  }

  /** Frees what the encoder owns. Passes that it wrote into must have been submitted. */
  destroy(): void {
    this.#handOver.destroy();
  }

  #bindPlan({ router }: GateShape, plan: PlanGpuBuffers | undefined, tokens: number): BoundPlan {
    if (plan === undefined) return { entries: [], numbers: [] };
    const offsets = this.#encoder.bind(plan.expertOffsets, 0, (router.experts + 1) * 4);
    const sorted = this.#encoder.bind(plan.sortedSlots, 0, tokens * router.topK * 4);
    const entries: BufferEntry[] = [
      [GATE_BINDING.expertOffsets, offsets.binding],
      [GATE_BINDING.sortedSlots, sorted.binding],
    ];
    const numbers = [offsets.lead / 4, sorted.lead / 4];
    const shape = tileShapeOf(router);
    if (shape !== null && plan.expertTiles !== undefined) {
      const tiles = this.#encoder.bind(plan.expertTiles, 0, expertTilesLength(shape, tokens) * 4);
      entries.push([GATE_BINDING.expertTiles, tiles.binding]);
      numbers.push(tiles.lead / 4, expertTileCapacity(shape, tokens));
    }
    return { entries, numbers };
  }
}
