/** What the series of a report are called that others read. */

/** Decoding over sequences side by side. */
export const DECODE = 'decode';
/** Decoding of one sequence with many tokens before it. */
export const DECODE_AT_DEPTH = 'decode at a depth';
/** Prompts, each by itself. */
export const PREFILL = 'prefill';
/** How fast a GPU reads its memory, in GB/s. */
export const BANDWIDTH = 'reading device memory';
