/** The buffers that `encode` takes, checked. */

import { bindRange } from '@switchyard/gpu/webgpu';
import type { BoundRange, GpuRange } from '@switchyard/gpu/webgpu';
import type { ResolvedRouterConfig } from '../contract.ts';
import { idBytes, logitBytes } from '../derived-config.ts';
import { expertTilesLength, tileShapeOf } from '../expert-tiles.ts';
import { InvalidArgumentError } from '../errors.ts';
import { knownOptions, refuseUnknownOptions } from '../known-options.ts';

/**
 * The buffers of one `encode` call. Inputs (logits, paddingMask, rowCount) may share a buffer, but none with an output.
 * Outputs may share one where each starts at a multiple of the device's minStorageBufferOffsetAlignment (256 unless a
 * device says otherwise). Each range holds at least a byte, even of no tokens.
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
  /** Where the configuration asks for a dispatch plan. */
  readonly dispatchPlan?: PlanGpuBuffers;
  /** u8 [T], any offset; a row whose byte is not 0 is padding; usage STORAGE. */
  readonly paddingMask?: GpuRange;
  /** u32 [1]: rows at and past this number are padding; usage STORAGE. */
  readonly rowCount?: GpuRange;
}

/** Where the dispatch plan goes. */
export interface PlanGpuBuffers {
  /** i32 [E + 1]; usage STORAGE. */
  readonly expertOffsets: GpuRange;
  /** i32 [T * K]; usage STORAGE. */
  readonly sortedSlots: GpuRange;
  /**
   * i32 [`expertTilesLength`], where the configuration asks for tiles: counts, activeExperts, tileExperts and tileStarts
   * of ExpertTiles, one after the other; usage STORAGE.
   */
  readonly expertTiles?: GpuRange;
}

const ROUTER_BUFFERS = knownOptions<RouterGpuBuffers>('router buffer', InvalidArgumentError, {
  logits: true,
  weights: true,
  ids: true,
  tokenExpertIndices: true,
  dispatchPlan: true,
  paddingMask: true,
  rowCount: true,
});
const PLAN_BUFFERS = knownOptions<PlanGpuBuffers>('dispatch plan buffer', InvalidArgumentError, {
  expertOffsets: true,
  sortedSlots: true,
  expertTiles: true,
});

/** GPUBufferUsage.STORAGE, whose global Node does not have. */
const STORAGE = 0x80;

/** A range of an `encode` call, and what the configuration wants of it. */
interface RangeCheck {
  /** What errors call it. */
  readonly name: string;
  readonly range: GpuRange | undefined;
  readonly bytes: number;
  /** Bytes that the offset is a multiple of. */
  readonly step: number;
  readonly isOutput: boolean;
  /** Whether the range must be there (`true`), must not (`false`), or may (`'optional'`). */
  readonly isWanted: boolean | 'optional';
}

/**
 * Checks that the ranges of an `encode` call are those that the configuration asks for, hold what T tokens need, and
 * do not share buffers in a way that WebGPU refuses.
 *
 * @param alignment the device's minStorageBufferOffsetAlignment
 * @throws InvalidArgumentError naming the first range that is wrong
 */
export function checkGpuBuffers(
  config: ResolvedRouterConfig,
  buffers: RouterGpuBuffers,
  tokens: number,
  rowStride: number,
  alignment: number,
): void {
  const { experts, topK, tokenExpertIndices } = config;
  const { dispatchPlan } = buffers;
  refuseUnknownOptions(ROUTER_BUFFERS, buffers);
  if (dispatchPlan !== undefined) refuseUnknownOptions(PLAN_BUFFERS, dispatchPlan);
  checkPresence('dispatchPlan', dispatchPlan, config.dispatchPlan);
  const slots = tokens * topK;
  const tiles = tileShapeOf(config);
  const tilesLength = tiles === null ? 0 : expertTilesLength(tiles, tokens);
  const logits = tokens === 0 ? 0 : (tokens - 1) * rowStride + experts;
  const input = (
    name: 'logits' | 'paddingMask' | 'rowCount',
    bytes: number,
    step: number,
    isWanted: RangeCheck['isWanted'],
  ): RangeCheck => ({ name, range: buffers[name], bytes: Math.max(bytes, 1), step, isOutput: false, isWanted });
  const output = (name: string, range: GpuRange | undefined, bytes: number, isWanted: boolean): RangeCheck => ({
    name,
    range,
    bytes: Math.max(bytes, 1),
    step: 4,
    isOutput: true,
    isWanted,
  });
  const checks = [
    input('logits', logits * logitBytes(config.logitsDtype), logitBytes(config.logitsDtype), true),
    output('weights', buffers.weights, slots * 4, true),
    output('ids', buffers.ids, slots * idBytes(config.idsDtype), true),
    output('tokenExpertIndices', buffers.tokenExpertIndices, slots * 4, tokenExpertIndices),
    output('dispatchPlan.expertOffsets', dispatchPlan?.expertOffsets, (experts + 1) * 4, config.dispatchPlan),
    output('dispatchPlan.sortedSlots', dispatchPlan?.sortedSlots, slots * 4, config.dispatchPlan),
    output('dispatchPlan.expertTiles', dispatchPlan?.expertTiles, tilesLength * 4, tiles !== null),
    input('paddingMask', tokens, 1, 'optional'),
    input('rowCount', 4, 4, 'optional'),
  ];
  for (const check of checks) checkRange(check);
  checks.forEach((check, i) => {
    for (const earlier of checks.slice(0, i)) checkSharing(earlier, check, alignment);
  });
}

/**
 * Checks that the hidden states of a gated router lie in no buffer that is written, and that the logits, which are, have one
 * of their own.
 *
 * @throws InvalidArgumentError naming the range that is in the other's buffer
 */
export function checkGateBuffers(hidden: GpuRange, buffers: RouterGpuBuffers): void {
  const { logits, paddingMask, rowCount, dispatchPlan, ...outputs } = buffers;
  const beside = (name: string, range: GpuRange | undefined, written: string, other: GpuRange): void => {
    if (range === undefined || range.buffer !== other.buffer) return;
    throw new InvalidArgumentError(
      name,
      range,
      `Hidden states and logits lie in buffers apart from what else is written and read · found ${name} and ${written} in one · use a buffer for each`,
    );
  };
  for (const [name, output] of Object.entries({ logits, ...outputs, ...dispatchPlan })) {
    beside('hidden', hidden, name, output);
  }
  beside('paddingMask', paddingMask, 'logits', logits);
  beside('rowCount', rowCount, 'logits', logits);
}

function checkPresence(name: string, found: object | undefined, isWanted: RangeCheck['isWanted']): void {
  if (found === undefined && isWanted === true) {
    throw new InvalidArgumentError(
      name,
      found,
      `This router's configuration needs a buffer for ${name} · found none · pass one`,
    );
  }
  if (found !== undefined && isWanted === false) {
    throw new InvalidArgumentError(
      name,
      found,
      `This router's configuration has no ${name} · found a buffer for it · leave it out`,
    );
  }
}

function checkRange({ name, range, bytes, step, isWanted }: RangeCheck): void {
  checkPresence(name, range, isWanted);
  if (range === undefined) return;
  const { buffer, offset = 0 } = range;
  if (!Number.isSafeInteger(offset) || offset < 0 || offset % step !== 0) {
    throw new InvalidArgumentError(
      name,
      offset,
      `The offset of ${name} must be a multiple of ${step} bytes · found ${offset} · move it to such a multiple`,
    );
  }
  if ((buffer.usage & STORAGE) === 0) {
    throw new InvalidArgumentError(
      name,
      buffer.usage,
      `The buffer of ${name} must have the usage STORAGE · found 0x${buffer.usage.toString(16)} · create it with GPUBufferUsage.STORAGE`,
    );
  }
  // A binding ends at a multiple of 4 bytes.
  const end = Math.ceil((offset + bytes) / 4) * 4;
  if (buffer.size < end) {
    throw new InvalidArgumentError(
      name,
      buffer.size,
      `The buffer of ${name} must hold ${end} bytes (offset ${offset} and ${bytes} more, up to a multiple of 4) · found ${buffer.size} · make it larger`,
    );
  }
}

/** WebGPU refuses dispatches that write into a buffer which they also read, or write through overlapping bindings. */
function checkSharing(one: RangeCheck, other: RangeCheck, alignment: number): void {
  const { range } = other;
  if (range === undefined || one.range?.buffer !== range.buffer || !(one.isOutput || other.isOutput)) return;
  if (one.isOutput !== other.isOutput) {
    throw new InvalidArgumentError(
      other.name,
      range,
      `Inputs and outputs lie in different buffers · found ${one.name} and ${other.name} in one, of which one is written · use a buffer for each`,
    );
  }
  const [first, second] = [bindRange(one.range, 0, one.bytes, alignment), bindRange(range, 0, other.bytes, alignment)];
  const overlap = startOf(first) < endOf(second) && startOf(second) < endOf(first);
  if (!overlap) return;
  throw new InvalidArgumentError(
    other.name,
    range.offset ?? 0,
    `Parts of one buffer begin at multiples of ${alignment} bytes, and lie apart from there on · found ${one.name} at offset ${one.range.offset ?? 0} and ${other.name} at offset ${range.offset ?? 0} · start each at such a multiple, or use a buffer for each`,
  );
}

function startOf(bound: BoundRange): number {
  return bound.binding.offset ?? 0;
}

function endOf(bound: BoundRange): number {
  return startOf(bound) + (bound.binding.size ?? 0);
}
