/** Calls of `encode` on buffers laid out by the test, and what came out of them. */

import { checkRouteArguments } from '../../src/resolve-config.ts';
import type { Logits, ResolvedRouterConfig, RouterOutput } from '../../src/contract.ts';
import { expertTilesLength, tileShapeOf, viewExpertTiles } from '../../src/expert-tiles.ts';
import { compareOutput } from '../../src/suite/index.ts';
import type {
  EncodeOptions,
  GpuRange,
  PlanGpuBuffers,
  RouterGpuBuffers,
  WebGpuRouter,
} from '../../src/webgpu/index.ts';

/** GPUBufferUsage.STORAGE | COPY_SRC | COPY_DST, whose global Node does not have. */
const STORAGE_COPY = 0x8c;
/** GPUBufferUsage.MAP_READ | COPY_DST. */
const READBACK = 0x9;
const GUARD = 0xa5;

/** A range of an `encode` call, by the name of its property. */
export type RangeName = Exclude<keyof RouterGpuBuffers, 'dispatchPlan'> | keyof PlanGpuBuffers;

/** Where a range lies: the buffer by a name of the test's choosing, and the offset in bytes. */
export type Placement = Readonly<Partial<Record<RangeName, { readonly buffer: string; readonly offset: number }>>>;

/** What a call works on. */
export interface CallInput {
  readonly logits: Logits;
  readonly options: EncodeOptions;
  readonly paddingMask?: Uint8Array;
  /** The number in device memory. */
  readonly deviceRowCount?: number;
}

/** Bytes of each range that a call has. */
export function rangeBytes(config: ResolvedRouterConfig, input: CallInput): Map<RangeName, number> {
  const slots = input.options.tokens * config.topK;
  const bytes = new Map<RangeName, number>([
    ['logits', input.logits.byteLength],
    ['weights', slots * 4],
    ['ids', slots * (config.idsDtype === 'i64' ? 8 : 4)],
  ]);
  if (config.tokenExpertIndices) bytes.set('tokenExpertIndices', slots * 4);
  if (config.dispatchPlan) bytes.set('expertOffsets', (config.experts + 1) * 4).set('sortedSlots', slots * 4);
  const tiles = tileShapeOf(config);
  if (tiles !== null) bytes.set('expertTiles', expertTilesLength(tiles, input.options.tokens) * 4);
  if (input.paddingMask !== undefined) bytes.set('paddingMask', input.paddingMask.byteLength);
  if (input.deviceRowCount !== undefined) bytes.set('rowCount', 4);
  return bytes;
}

/** Buffers as small as their ranges allow, filled with a guard pattern, inputs written. */
export class PlacedCall {
  readonly router: WebGpuRouter;
  readonly input: CallInput;
  readonly buffers: RouterGpuBuffers;
  readonly #ranges = new Map<RangeName, Required<GpuRange>>();
  readonly #bytes: Map<RangeName, number>;

  /** Ranges without a place get a buffer of their own. */
  constructor(router: WebGpuRouter, input: CallInput, places: Placement = {}) {
    this.router = router;
    this.input = input;
    this.#bytes = rangeBytes(router.config, input);
    const sizes = new Map<string, number>();
    const placed = [...this.#bytes].map(([name, bytes]) => {
      const { buffer, offset } = places[name] ?? { buffer: name, offset: 0 };
      sizes.set(buffer, Math.max(sizes.get(buffer) ?? 4, Math.ceil((offset + bytes) / 4) * 4));
      return { name, buffer, offset };
    });
    const { gpuDevice } = router;
    const made = new Map<string, GPUBuffer>();
    for (const { name, buffer: label, offset } of placed) {
      const size = sizes.get(label) ?? 0;
      const buffer = made.get(label) ?? gpuDevice.createBuffer({ label, size, usage: STORAGE_COPY });
      if (!made.has(label)) gpuDevice.queue.writeBuffer(buffer, 0, new Uint8Array(size).fill(GUARD));
      made.set(label, buffer);
      this.#ranges.set(name, { buffer, offset });
    }
    this.#write('logits', input.logits);
    if (input.paddingMask !== undefined) this.#write('paddingMask', input.paddingMask);
    if (input.deviceRowCount !== undefined) this.#write('rowCount', Uint32Array.of(input.deviceRowCount));
    const { expertOffsets, sortedSlots, expertTiles, ...rest } = Object.fromEntries(this.#ranges);
    const plan = expertOffsets !== undefined && {
      dispatchPlan: { expertOffsets, sortedSlots, ...(expertTiles !== undefined && { expertTiles }) },
    };
    this.buffers = { ...rest, ...plan } as unknown as RouterGpuBuffers;
  }

  /** Encodes the call alone and submits it. */
  submit(): void {
    const { gpuDevice } = this.router;
    const commands = gpuDevice.createCommandEncoder();
    const pass = commands.beginComputePass();
    this.router.encode(pass, this.buffers, this.input.options);
    pass.end();
    gpuDevice.queue.submit([commands.finish()]);
  }

  /** Everything that is wrong with what the buffers hold once the call has run. */
  async problems(): Promise<string[]> {
    const { router, input } = this;
    const contents = new Map<GPUBuffer, Uint8Array<ArrayBuffer>>();
    for (const { buffer } of this.#ranges.values()) {
      if (!contents.has(buffer)) contents.set(buffer, await readBuffer(router.gpuDevice, buffer));
    }
    const part = (name: RangeName): ArrayBuffer => {
      const { buffer, offset } = this.#range(name);
      return (contents.get(buffer) as Uint8Array<ArrayBuffer>).slice(offset, offset + this.#size(name)).buffer;
    };
    const { idsDtype, tokenExpertIndices, dispatchPlan } = router.config;
    const tiles = tileShapeOf(router.config);
    const IdsArray = { i32: Int32Array, u32: Uint32Array, i64: BigInt64Array }[idsDtype];
    const output: RouterOutput = {
      tokens: input.options.tokens,
      ids: new IdsArray(part('ids')),
      weights: new Float32Array(part('weights')),
      ...(tokenExpertIndices && { tokenExpertIndices: new Int32Array(part('tokenExpertIndices')) }),
      ...(dispatchPlan && {
        dispatchPlan: {
          expertOffsets: new Int32Array(part('expertOffsets')),
          sortedSlots: new Int32Array(part('sortedSlots')),
          ...(tiles !== null && { expertTiles: viewExpertTiles(new Int32Array(part('expertTiles')), tiles) }),
        },
      }),
    };
    const { tokens, rowCount = tokens } = input.options;
    const call = checkRouteArguments(router.config, input.logits, {
      ...input.options,
      rowCount: Math.min(rowCount, input.deviceRowCount ?? tokens),
      ...(input.paddingMask !== undefined && { paddingMask: input.paddingMask }),
    });
    return [...compareOutput(router.config, input.logits, call, output).problems, ...this.#guardProblems(contents)];
  }

  destroy(): void {
    for (const { buffer } of this.#ranges.values()) buffer.destroy();
  }

  #guardProblems(contents: ReadonlyMap<GPUBuffer, Uint8Array>): string[] {
    return [...contents].flatMap(([buffer, bytes]) => {
      const owned = new Uint8Array(bytes.length);
      for (const [name, range] of this.#ranges) {
        if (range.buffer === buffer) owned.fill(1, range.offset, range.offset + this.#size(name));
      }
      const broken = bytes.findIndex((byte, at) => owned[at] === 0 && byte !== GUARD);
      return broken === -1 ? [] : [`byte ${broken} of buffer ${buffer.label}, outside every range, was written`];
    });
  }

  #write(name: RangeName, data: ArrayBufferView): void {
    const { buffer, offset } = this.#range(name);
    // WebGPU writes whole words: the guard fills up the first and the last one.
    const start = offset - (offset % 4);
    const bytes = new Uint8Array(Math.ceil((offset + data.byteLength) / 4) * 4 - start).fill(GUARD);
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset - start);
    this.router.gpuDevice.queue.writeBuffer(buffer, start, bytes);
  }

  #range(name: RangeName): Required<GpuRange> {
    const range = this.#ranges.get(name);
    if (range === undefined) throw new Error(`The call has no ${name}.`);
    return range;
  }

  #size(name: RangeName): number {
    return this.#bytes.get(name) ?? 0;
  }
}

async function readBuffer(device: GPUDevice, buffer: GPUBuffer): Promise<Uint8Array<ArrayBuffer>> {
  const copy = device.createBuffer({ size: buffer.size, usage: READBACK });
  const commands = device.createCommandEncoder();
  commands.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
  device.queue.submit([commands.finish()]);
  await copy.mapAsync(1);
  const bytes = new Uint8Array(copy.getMappedRange()).slice();
  copy.destroy();
  return bytes;
}
