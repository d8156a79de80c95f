/**
 * Keys and values as integers of 16 bits with bf16 scales, one for `scaledElements` elements of a head: half of them neighbours
 * in the head's first half, the others those of its second half that the rotary embedding turns them with. What a GPU keeps,
 * to be read.
 */

/** The code of 0: codes are u16. */
const MIDDLE = 2 ** 15;
const LARGEST_CODE = 2 ** 15 - 1;
/** So large a number has integers for neighbours in f32: rounding to it is rounding to a code, to the even one of two. */
const CODE_NUMBER = 2 ** 23 + MIDDLE;
/** Where all elements are 0 or nearly so. */
const SMALLEST_SCALE = Math.fround(1e-30);
/** Where some element is no finite number: none of that scale is one then. */
const NAN_SCALE = 0x7fc0;

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

function bitsOf(value: number): number {
  float[0] = value;
  return word[0] ?? 0;
}

/** The number that a bf16 is. */
function widenBf16(bits: number): number {
  word[0] = bits << 16;
  return float[0] ?? 0;
}

/** One key or value. */
export interface KeptHead {
  /** u16 [head size]. */
  readonly codes: Uint16Array;
  /** bf16 [head size / scaledElements]. */
  readonly scales: Uint16Array;
}

/** The elements of a head that a scale is for. */
export function elementsOfScale(scale: number, headDim: number, scaledElements: number): readonly number[] {
  const half = scaledElements / 2;
  return Array.from(
    { length: scaledElements },
    (_, index) => Math.floor(index / half) * (headDim / 2) + scale * half + (index % half),
  );
}

/** @param head f32 [head size]; wider numbers are rounded to f32 first. */
export function keepHead(head: ArrayLike<number>, scaledElements: number): KeptHead {
  const codes = new Uint16Array(head.length);
  const scales = Uint16Array.from({ length: head.length / scaledElements }, (_, which) => {
    const own = elementsOfScale(which, head.length, scaledElements);
    const scale = scaleOf(own.map((element) => Math.fround(head[element] ?? 0)));
    const reciprocal = Math.fround(1 / widenBf16(scale));
    for (const element of own) {
      codes[element] = bitsOf(Math.fround(head[element] ?? 0) * reciprocal + CODE_NUMBER) & 0xffff;
    }
    return scale;
  });
  return { codes, scales };
}

/** The smallest bf16 times which the largest code is at least the largest of the elements. */
function scaleOf(elements: readonly number[]): number {
  const largest = elements.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (!Number.isFinite(largest)) return NAN_SCALE;
  const scale = Math.max(Math.fround(largest * Math.fround(1 / LARGEST_CODE)), SMALLEST_SCALE);
  return (bitsOf(scale) + 0xffff) >>> 16;
}

/** What is read of it, f64 [head size]. */
export function readHead({ codes, scales }: KeptHead): Float64Array {
  const head = new Float64Array(codes.length);
  const scaledElements = codes.length / scales.length;
  for (const [which, scale] of scales.entries()) {
    for (const element of elementsOfScale(which, codes.length, scaledElements)) {
      head[element] = ((codes[element] ?? 0) - MIDDLE) * widenBf16(scale);
    }
  }
  return head;
}

/** Rows of heads as they are read: [rows, heads, head size]. */
export function keptHeads(rows: Float64Array, headDim: number, scaledElements: number): Float64Array {
  const kept = new Float64Array(rows.length);
  for (let at = 0; at < rows.length; at += headDim) {
    kept.set(readHead(keepHead(rows.subarray(at, at + headDim), scaledElements)), at);
  }
  return kept;
}
