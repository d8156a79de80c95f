/** The GPU memory of a `route` call, kept and used again by later calls. */

import { CallUniforms, outOfMemory } from '@switchyard/gpu/webgpu';
import type { GpuRange } from '@switchyard/gpu/webgpu';
import type { ResolvedRouterConfig, RouterOutput } from '../contract.ts';
import { idBytes } from '../derived-config.ts';
import { expertTilesLength, tileShapeOf, viewExpertTiles } from '../expert-tiles.ts';
import type { RouterGpuBuffers } from './gpu-ranges.ts';
import { bytesInPlainMemory, bytesOfElements } from '../typed-arrays.ts';

/** GPUBufferUsage, whose global Node does not have. */
const MAP_READ_COPY_DST = 0x9;
const STORAGE_COPY_DST = 0x88;
const STORAGE_COPY_SRC = 0x84;
/** GPUMapMode.READ */
const READ = 1;
/** Sets of buffers that wait for a call; what more concurrent calls needed is freed. */
const MOST_IDLE = 4;
const ALIGNMENT = 256;

/** Where each output of T tokens lies in the output buffer, in bytes. */
interface OutputLayout {
  readonly weights: number;
  readonly ids: number;
  readonly tokenExpertIndices: number;
  readonly expertOffsets: number;
  readonly sortedSlots: number;
  readonly expertTiles: number;
  /** All of it. */
  readonly bytes: number;
}

/** Lends the scratch memory that the plan of many blocks takes. */
export interface PlanWorkspace {
  /** A buffer of at least so many bytes, usage STORAGE. */
  planWorkspace(bytes: number): GPUBuffer;
}

/** Buffers that belong to one call at a time. They grow, and never shrink. */
export class CallBuffers implements PlanWorkspace {
  readonly uniforms: CallUniforms;
  readonly #config: ResolvedRouterConfig;
  readonly #device: GPUDevice;
  readonly #buffers = new Map<string, GPUBuffer>();

  constructor(config: ResolvedRouterConfig, device: GPUDevice) {
    this.#config = config;
    this.#device = device;
    this.uniforms = new CallUniforms(device);
  }

  /** Uploads logits. The size of the upload need not be a multiple of 4 bytes. */
  uploadLogits(bytes: Uint8Array): GpuRange {
    const range = { buffer: this.#buffer('logits', bytes.byteLength, STORAGE_COPY_DST) };
    this.#upload(range.buffer, bytes);
    return range;
  }

  /** Uploads hidden states, of a multiple of 4 bytes, and makes room for the logits of T tokens that are formed of them. */
  prepareGate(hidden: Uint8Array, tokens: number): { readonly hidden: GpuRange; readonly logits: GpuRange } {
    const buffer = this.#buffer('hidden states', hidden.byteLength, STORAGE_COPY_DST);
    this.#upload(buffer, hidden);
    return { hidden: { buffer }, logits: { buffer: this.#formedLogits(tokens) } };
  }

  /** Makes room for the outputs of T tokens, and uploads the padding mask where there is one. */
  prepare(tokens: number, paddingMask: Uint8Array | null): Omit<RouterGpuBuffers, 'logits'> {
    const { tokenExpertIndices, dispatchPlan, expertTiles } = this.#config;
    const layout = this.#layout(tokens);
    const buffer = this.#buffer('outputs', layout.bytes, STORAGE_COPY_SRC);
    if (paddingMask !== null) {
      this.#upload(this.#buffer('mask', tokens, STORAGE_COPY_DST), bytesOfElements(paddingMask, 0, tokens));
    }
    return {
      weights: { buffer, offset: layout.weights },
      ids: { buffer, offset: layout.ids },
      ...(tokenExpertIndices && { tokenExpertIndices: { buffer, offset: layout.tokenExpertIndices } }),
      ...(dispatchPlan && {
        dispatchPlan: {
          expertOffsets: { buffer, offset: layout.expertOffsets },
          sortedSlots: { buffer, offset: layout.sortedSlots },
          ...(expertTiles !== null && { expertTiles: { buffer, offset: layout.expertTiles } }),
        },
      }),
      ...(paddingMask !== null && { paddingMask: { buffer: this.#buffer('mask', tokens, STORAGE_COPY_DST) } }),
    };
  }

  planWorkspace(bytes: number): GPUBuffer {
    return this.#buffer('workspace', bytes, STORAGE_COPY_DST);
  }

  /** Copies the outputs of T tokens to where the host can read them. */
  encodeReadback(encoder: GPUCommandEncoder, tokens: number): void {
    const { bytes } = this.#layout(tokens);
    const outputs = this.#buffer('outputs', bytes, STORAGE_COPY_SRC);
    encoder.copyBufferToBuffer(outputs, 0, this.#buffer('readback', bytes, MAP_READ_COPY_DST), 0, bytes);
  }

  /** Waits for the outputs of T tokens and copies them into fresh arrays. */
  async read(tokens: number): Promise<RouterOutput> {
    const { topK, experts, idsDtype, tokenExpertIndices, dispatchPlan } = this.#config;
    const tiles = tileShapeOf(this.#config);
    const layout = this.#layout(tokens);
    const readback = this.#buffer('readback', layout.bytes, MAP_READ_COPY_DST);
    await readback.mapAsync(READ, 0, layout.bytes);
    const mapped = readback.getMappedRange(0, layout.bytes);
    const slots = tokens * topK;
    const i32 = (offset: number, length: number): Int32Array => new Int32Array(mapped, offset, length).slice();
    const IdsArray = { i32: Int32Array, u32: Uint32Array, i64: BigInt64Array }[idsDtype];
    const output = {
      tokens,
      ids: new IdsArray(mapped, layout.ids, slots).slice(),
      weights: new Float32Array(mapped, layout.weights, slots).slice(),
      ...(tokenExpertIndices && { tokenExpertIndices: i32(layout.tokenExpertIndices, slots) }),
      ...(dispatchPlan && {
        dispatchPlan: {
          expertOffsets: i32(layout.expertOffsets, experts + 1),
          sortedSlots: i32(layout.sortedSlots, slots),
          ...(tiles !== null && {
            expertTiles: viewExpertTiles(i32(layout.expertTiles, expertTilesLength(tiles, tokens)), tiles),
          }),
        },
      }),
    };
    readback.unmap();
    return output;
  }

  /** Copies the logits that were formed of T tokens to where the host can read them. */
  encodeLogitsReadback(encoder: GPUCommandEncoder, tokens: number): void {
    const bytes = this.#formedBytes(tokens);
    encoder.copyBufferToBuffer(this.#formedLogits(tokens), 0, this.#formedReadback(tokens), 0, bytes);
  }

  /** Waits for the logits that were formed of T tokens and copies them into a fresh array. */
  async readLogits(tokens: number): Promise<Float32Array<ArrayBuffer>> {
    const bytes = this.#formedBytes(tokens);
    const readback = this.#formedReadback(tokens);
    await readback.mapAsync(READ, 0, bytes);
    const logits = new Float32Array(readback.getMappedRange(0, bytes).slice(0));
    readback.unmap();
    return logits;
  }

  destroy(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy();
    this.#buffers.clear();
    this.uniforms.destroy();
  }

  #formedBytes(tokens: number): number {
    return tokens * this.#config.experts * 4;
  }

  #formedLogits(tokens: number): GPUBuffer {
    return this.#buffer('formed logits', this.#formedBytes(tokens), STORAGE_COPY_SRC);
  }

  #formedReadback(tokens: number): GPUBuffer {
    return this.#buffer('formed logits, read back', this.#formedBytes(tokens), MAP_READ_COPY_DST);
  }

  #layout(tokens: number): OutputLayout {
    const { topK, experts, tokenExpertIndices, dispatchPlan } = this.#config;
    const slots = tokens * topK;
    const tiles = tileShapeOf(this.#config);
    let bytes = 0;
    const place = (size: number, isWanted = true): number => {
      const offset = bytes;
      if (isWanted) bytes += Math.ceil(Math.max(size, 4) / ALIGNMENT) * ALIGNMENT;
      return offset;
    };
    return {
      weights: place(slots * 4),
      ids: place(slots * idBytes(this.#config.idsDtype)),
      tokenExpertIndices: place(slots * 4, tokenExpertIndices),
      expertOffsets: place((experts + 1) * 4, dispatchPlan),
      sortedSlots: place(slots * 4, dispatchPlan),
      expertTiles: place(tiles === null ? 0 : expertTilesLength(tiles, tokens) * 4, tiles !== null),
      bytes,
    };
  }

  #buffer(name: string, bytes: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const existing = this.#buffers.get(name);
    if (existing !== undefined && existing.size >= bytes) return existing;
    const { maxBufferSize } = this.#device.limits;
    if (bytes > maxBufferSize) throw outOfMemory(bytes);
    // Doubling keeps the number of allocations small while T grows call by call.
    const size = Math.min(2 ** Math.ceil(Math.log2(Math.max(bytes, ALIGNMENT))), maxBufferSize - (maxBufferSize % 4));
    existing?.destroy();
    const created = this.#device.createBuffer({ label: `router ${name}`, size, usage });
    this.#buffers.set(name, created);
    return created;
  }

  #upload(buffer: GPUBuffer, source: Uint8Array): void {
    const { queue } = this.#device;
    // Browsers refuse shared and resizable memory here, and Dawn in Node ends the process over it.
    const bytes = bytesInPlainMemory(source);
    const whole = bytes.byteLength - (bytes.byteLength % 4);
    if (whole > 0) queue.writeBuffer(buffer, 0, bytes.subarray(0, whole));
    if (whole === bytes.byteLength) return;
    const rest = new Uint8Array(4);
    rest.set(bytes.subarray(whole));
    queue.writeBuffer(buffer, whole, rest);
  }
}

/** Lends CallBuffers: concurrent calls take different ones. */
export class CallBufferPool {
  readonly #create: () => CallBuffers;
  readonly #idle: CallBuffers[] = [];

  constructor(create: () => CallBuffers) {
    this.#create = create;
  }

  take(): CallBuffers {
    return this.#idle.pop() ?? this.#create();
  }

  /** Takes buffers back after a call that went well. */
  giveBack(buffers: CallBuffers): void {
    if (this.#idle.length < MOST_IDLE) this.#idle.push(buffers);
    else buffers.destroy();
  }

  destroy(): void {
    for (const buffers of this.#idle.splice(0)) buffers.destroy();
  }
}
