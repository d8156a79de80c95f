/** Parts of GPU buffers: what `encode` takes, checked, and cut into what WebGPU can bind. */

import type { ResolvedRouterConfig } from '../contract.ts';
import { InvalidArgumentError } from '../errors.ts';

/** A buffer from a byte offset on. The offset is a multiple of 4 (of 2 for 16-bit logits); it defaults to 0. */
export interface GpuRange {
  readonly buffer: GPUBuffer;
  readonly offset?: number;
}

/**
 * The buffers of one `encode` call. Logits may not share a buffer with outputs. Outputs may share one where each starts
 * at a multiple of the device's minStorageBufferOffsetAlignment (256 unless a device says otherwise).
 */
export interface RouterGpuBuffers {
  /** [T, rowStride]; usage STORAGE. The range must be there up to a multiple of 4 bytes. */
  readonly logits: GpuRange;
  /** f32 [T, K]; usage STORAGE. */
  readonly weights: GpuRange;
  /** i32, u32 or i64 [T, K]; usage STORAGE. */
  readonly ids: GpuRange;
  /** i32 [T, K], where the configuration asks for it; usage STORAGE. */
  readonly tokenExpertIndices?: GpuRange;
  /** i32 [E + 1], where the configuration asks for a dispatch plan; usage STORAGE. */
  readonly expertOffsets?: GpuRange;
  /** i32 [T * K], where the configuration asks for a dispatch plan; usage STORAGE. */
  readonly sortedSlots?: GpuRange;
  /** u8 [T], any offset; a row whose byte is not 0 is padding; usage STORAGE. */
  readonly paddingMask?: GpuRange;
  /** u32 [1]: rows at and past this number are padding; usage STORAGE. */
  readonly rowCount?: GpuRange;
}

/** A range as it is bound: from an offset that WebGPU allows, with the bytes that lie between it and the range. */
export interface BoundRange {
  readonly binding: GPUBufferBinding;
  /** Bytes from the binding's start to the range's. */
  readonly lead: number;
}

/** GPUBufferUsage.STORAGE, whose global Node does not have. */
const STORAGE = 0x80;

/** Cuts `bytes` bytes from `start` bytes past a range's offset into a binding. */
export function bindRange(range: GpuRange, start: number, bytes: number, alignment: number): BoundRange {
  const first = (range.offset ?? 0) + start;
  const lead = first % alignment;
  return {
    binding: { buffer: range.buffer, offset: first - lead, size: Math.max(Math.ceil((lead + bytes) / 4) * 4, 16) },
    lead,
  };
}

/** Bytes of one stored logit. */
export function logitBytes(config: ResolvedRouterConfig): number {
  return config.logitsDtype === 'f32' ? 4 : 2;
}

/** Bytes of one id. */
export function idBytes(config: ResolvedRouterConfig): number {
  return config.idsDtype === 'i64' ? 8 : 4;
}

/**
 * Checks that the ranges of an `encode` call are those that the configuration asks for, and hold what T tokens need.
 *
 * @throws InvalidArgumentError naming the first range that is wrong
 */
export function checkGpuBuffers(
  config: ResolvedRouterConfig,
  buffers: RouterGpuBuffers,
  tokens: number,
  rowStride: number,
): void {
  const { experts, topK, tokenExpertIndices, dispatchPlan } = config;
  const slots = tokens * topK;
  const logits = tokens === 0 ? 0 : (tokens - 1) * rowStride + experts;
  checkRange('logits', buffers.logits, logits * logitBytes(config), Math.min(logitBytes(config), 4));
  checkRange('weights', buffers.weights, slots * 4, 4);
  checkRange('ids', buffers.ids, slots * idBytes(config), 4);
  checkRange('tokenExpertIndices', buffers.tokenExpertIndices, slots * 4, 4, tokenExpertIndices);
  checkRange('expertOffsets', buffers.expertOffsets, (experts + 1) * 4, 4, dispatchPlan);
  checkRange('sortedSlots', buffers.sortedSlots, slots * 4, 4, dispatchPlan);
  if (buffers.paddingMask !== undefined) checkRange('paddingMask', buffers.paddingMask, tokens, 1);
  if (buffers.rowCount !== undefined) checkRange('rowCount', buffers.rowCount, 4, 4);
}

function checkRange(name: string, range: GpuRange | undefined, bytes: number, step: number, isWanted = true): void {
  if (!isWanted) {
    if (range === undefined) return;
    throw new InvalidArgumentError(name, range, `This router's configuration has no ${name}. Leave the buffer out.`);
  }
  if (range === undefined) {
    throw new InvalidArgumentError(name, range, `This router's configuration needs a buffer for ${name}; found none.`);
  }
  const { buffer, offset = 0 } = range;
  if (!Number.isSafeInteger(offset) || offset < 0 || offset % step !== 0) {
    throw new InvalidArgumentError(
      name,
      offset,
      `The offset of ${name} must be a multiple of ${step} bytes; found ${offset}.`,
    );
  }
  if ((buffer.usage & STORAGE) === 0) {
    throw new InvalidArgumentError(
      name,
      buffer.usage,
      `The buffer of ${name} must have the usage STORAGE; found 0x${buffer.usage.toString(16)}.`,
    );
  }
  // A binding ends at a multiple of 4 bytes.
  const end = Math.ceil((offset + bytes) / 4) * 4;
  if (buffer.size < end) {
    throw new InvalidArgumentError(
      name,
      buffer.size,
      `The buffer of ${name} must hold ${end} bytes (offset ${offset} and ${bytes} more, up to a multiple of 4); found ${buffer.size}.`,
    );
  }
}
