/** Pinned and device memory that `route` sends host rows through; grown when a call needs more, kept between calls. */

import type { DeviceBuffer, DevicePointer, GpuDriver, PinnedBuffer, StreamLike } from '@switchyard/gpu';
import type { ExpertIds, Logits, ResolvedRouteArguments, ResolvedRouterConfig, RouterOutput } from '../contract.ts';
import { idBytes } from '../derived-config.ts';
import { expertTilesLength, tileShapeOf, viewExpertTiles } from '../expert-tiles.ts';
import { bytesOfElements } from '../typed-arrays.ts';
import type { DeviceRouteBuffers } from './device-route.ts';
import { ARRIVALS_BYTES } from './kernel/dispatch-plan-launches.ts';

/** Sections start at multiples of this many bytes. */
const SECTION_ALIGNMENT = 256;
/** The least that is allocated. */
const LEAST_BYTES = 64 * 1024;

/** What a call reads, in memory of its own. */
export interface HostInputs {
  /** From the first row's first element to the last row's last: logits, or the hidden states that they are formed from. */
  readonly rows: Uint8Array;
  /** u8 [T]; null where there is none. */
  readonly paddingMask: Uint8Array | null;
}

/**
 * Copies what a call will read, from memory of any kind.
 *
 * @param columns of a row
 */
export function copyInputs(
  columns: number,
  rows: Logits,
  { tokens, rowStride, paddingMask }: ResolvedRouteArguments,
): HostInputs {
  const elements = tokens === 0 ? 0 : (tokens - 1) * rowStride + columns;
  return {
    rows: bytesOfElements(rows, 0, elements).slice(),
    paddingMask: paddingMask === null ? null : bytesOfElements(paddingMask, 0, tokens).slice(),
  };
}

/** One call's rows, staged. */
export interface StagedRoute {
  /** Where they lie on the device, with `logits` for the rows. */
  readonly buffers: DeviceRouteBuffers;
  /** Scratch memory of the call, whose first bytes the upload clears. */
  readonly workspace: DevicePointer;
  /** Enqueues the copy of the inputs. */
  upload(stream: StreamLike): void;
  /** Enqueues the copy of the outputs. */
  download(stream: StreamLike): void;
  /** Fresh arrays of the outputs, once the stream has passed the download. */
  read(): RouterOutput;
}

/** Inputs lie in one run of memory and outputs in another, so that each way takes a single copy. */
export class HostStaging {
  readonly #config: ResolvedRouterConfig;
  readonly #driver: GpuDriver;
  #pinned: PinnedBuffer | null = null;
  #device: DeviceBuffer | null = null;

  constructor(config: ResolvedRouterConfig, driver: GpuDriver) {
    this.#config = config;
    this.#driver = driver;
  }

  /**
   * Copies a call's inputs to pinned memory and lays out its buffers. The previous call must be done.
   *
   * @param clearedBytes of the workspace that the call has to find 0. Defaults to those of a dispatch plan
   */
  stage(
    inputs: HostInputs,
    args: ResolvedRouteArguments,
    workspaceBytes: number,
    clearedBytes = ARRIVALS_BYTES,
  ): StagedRoute {
    const { experts, topK, idsDtype, tokenExpertIndices, dispatchPlan } = this.#config;
    const { tokens, rowStride, rowCount } = args;
    const { rows, paddingMask } = inputs;
    const slots = tokens * topK;
    const tiles = tileShapeOf(this.#config);
    const tilesLength = tiles === null ? 0 : expertTilesLength(tiles, tokens);

    const layout = new SectionLayout();
    const rowsAt = layout.place(rows.byteLength);
    const maskAt = layout.place(paddingMask === null ? 0 : tokens);
    const countAt = layout.place(4);
    const inputBytes = layout.end;
    const weightsAt = layout.place(slots * 4);
    const idsAt = layout.place(slots * idBytes(idsDtype));
    const indicesAt = layout.place(tokenExpertIndices ? slots * 4 : 0);
    const offsetsAt = layout.place(dispatchPlan ? (experts + 1) * 4 : 0);
    const slotsAt = layout.place(dispatchPlan ? slots * 4 : 0);
    const tilesAt = layout.place(tilesLength * 4);
    const outputEnd = layout.end;
    const workspaceAt = layout.place(workspaceBytes);

    const { pinned, device } = this.#reserve(outputEnd, layout.end);
    const { memory } = pinned;
    new Uint8Array(memory, rowsAt, rows.byteLength).set(rows);
    if (paddingMask !== null) new Uint8Array(memory, maskAt, tokens).set(paddingMask);
    new Uint32Array(memory, countAt, 1)[0] = rowCount;

    const at = (offset: number): bigint => device.pointer + BigInt(offset);
    const buffers: DeviceRouteBuffers = {
      tokens,
      logits: at(rowsAt),
      rowStride,
      weights: at(weightsAt),
      ids: at(idsAt),
      ...(tokenExpertIndices ? { tokenExpertIndices: at(indicesAt) } : {}),
      ...(paddingMask === null ? {} : { paddingMask: at(maskAt) }),
      ...(rowCount < tokens ? { rowCount: at(countAt) } : {}),
      ...(dispatchPlan
        ? {
            dispatchPlan: {
              expertOffsets: at(offsetsAt),
              sortedSlots: at(slotsAt),
              ...(tiles === null ? {} : { expertTiles: at(tilesAt) }),
              ...(workspaceBytes > 0 ? { workspace: at(workspaceAt) } : {}),
            },
          }
        : {}),
    };
    const int32 = (offset: number, length: number): Int32Array =>
      new Int32Array(memory.slice(offset, offset + length * 4));
    return {
      buffers,
      workspace: at(workspaceAt),
      upload: (stream) => {
        this.#driver.copyToDevice(device.pointer, pinned.pointer, inputBytes, stream);
        // Other calls have had other things there.
        if (workspaceBytes > 0) this.#driver.fill(at(workspaceAt), 0, clearedBytes, stream);
      },
      download: (stream) =>
        this.#driver.copyToHost(pinned.pointer + BigInt(inputBytes), at(inputBytes), outputEnd - inputBytes, stream),
      read: () => ({
        tokens,
        ids: idsOf(this.#config, memory.slice(idsAt, idsAt + slots * idBytes(idsDtype))),
        weights: new Float32Array(memory.slice(weightsAt, weightsAt + slots * 4)),
        ...(tokenExpertIndices ? { tokenExpertIndices: int32(indicesAt, slots) } : {}),
        ...(dispatchPlan
          ? {
              dispatchPlan: {
                expertOffsets: int32(offsetsAt, experts + 1),
                sortedSlots: int32(slotsAt, slots),
                ...(tiles === null ? {} : { expertTiles: viewExpertTiles(int32(tilesAt, tilesLength), tiles) }),
              },
            }
          : {}),
      }),
    };
  }

  /** Frees the memory. */
  dispose(): void {
    this.#pinned?.free();
    this.#device?.free();
    this.#pinned = null;
    this.#device = null;
  }

  #reserve(pinnedBytes: number, deviceBytes: number): { readonly pinned: PinnedBuffer; readonly device: DeviceBuffer } {
    let pinned = this.#pinned;
    if (pinned === null || pinned.bytes < pinnedBytes) {
      pinned?.free();
      this.#pinned = null;
      pinned = this.#driver.allocatePinned(capacityFor(pinnedBytes));
      this.#pinned = pinned;
    }
    let device = this.#device;
    if (device === null || device.bytes < deviceBytes) {
      device?.free();
      this.#device = null;
      device = this.#driver.allocate(capacityFor(deviceBytes));
      this.#device = device;
    }
    return { pinned, device };
  }
}

/** Places sections one after the other. */
class SectionLayout {
  /** Where the next section starts. */
  end = 0;

  place(bytes: number): number {
    const start = this.end;
    this.end = Math.ceil((start + bytes) / SECTION_ALIGNMENT) * SECTION_ALIGNMENT;
    return start;
  }
}

/** A quarter more than is needed, so that slowly growing calls do not allocate each time. */
function capacityFor(bytes: number): number {
  return Math.max(LEAST_BYTES, Math.ceil(bytes * 1.25));
}

function idsOf(config: ResolvedRouterConfig, bytes: ArrayBuffer): ExpertIds {
  if (config.idsDtype === 'i64') return new BigInt64Array(bytes);
  return config.idsDtype === 'u32' ? new Uint32Array(bytes) : new Int32Array(bytes);
}
