/**
 * Which tokens may come next: one bit a token, so that a vocabulary of 201,088 takes 25 KB.
 */

/** Bit `id & 31` of word `id >>> 5` says whether token `id` may come next. */
export type TokenMask = Uint32Array;

/** Words that a mask over `vocabularySize` tokens has. */
export const tokenMaskWords = (vocabularySize: number): number => (vocabularySize + 31) >>> 5;

/** Whether the mask lets token `id` through. */
export const allowsToken = (mask: TokenMask, id: number): boolean => (((mask[id >>> 5] ?? 0) >>> (id & 31)) & 1) === 1;

/** Lets token `id` through. */
export function allowToken(mask: TokenMask, id: number): void {
  mask[id >>> 5] = (mask[id >>> 5] ?? 0) | (1 << (id & 31));
}

/** Sets the logits of forbidden tokens to -Infinity; what is no number stays so. */
export function applyTokenMask(logits: Float32Array, mask: TokenMask): void {
  for (let word = 0; word * 32 < logits.length; word++) {
    const bits = mask[word] ?? 0;
    if (bits === 0xffffffff) continue;
    const end = Math.min(logits.length, word * 32 + 32);
    for (let id = word * 32; id < end; id++) {
      const isForbidden = ((bits >>> (id & 31)) & 1) === 0;
      if (isForbidden && !Number.isNaN(logits[id])) logits[id] = Number.NEGATIVE_INFINITY;
    }
  }
}
