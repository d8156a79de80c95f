/**
 * How long a thread may sleep for a pass before it asks: near what such a pass took, so that it wakes once for most of them.
 */

import type { Pass } from './plan-passes.ts';

/**
 * What is expected after a wait that the step was done before, and at the most after one that it was not: parts of what was
 * expected. So near 1, a thread wakes once for most steps, a little late; the device has the next step meanwhile. A machine
 * that wakes it much too late does not count as a longer step.
 */
const SHORTER = 0.97;
const LONGER = 1.1;
/** Milliseconds that a long wait may be expected to become longer by: nothing may be under way behind it. */
const MOST_LONGER_MS = 0.2;
/**
 * What is expected after a wait of more than so many milliseconds that the step was done before: it may have been done long
 * before, as where the one before it was the first of its kind, and to ask some times more costs such a step little.
 */
const LONG_MS = 4;
const SHORTER_THAN_LONG = 0.8;

/** Of one runner's passes, by what decides how long they take. */
export class ExpectedWaits {
  readonly #milliseconds = new Map<string, number>();

  /** Milliseconds that a pass is likely to be waited for; 0 where nothing is known. */
  of(pass: Pass): number {
    return this.#milliseconds.get(keyOf(pass)) ?? 0;
  }

  /**
   * Learns of a wait.
   *
   * @param hadPassed whether the pass was done when it was first asked for.
   * @param waited milliseconds, at least as many as the pass took.
   */
  took(pass: Pass, hadPassed: boolean, waited: number): void {
    this.#milliseconds.set(keyOf(pass), nextExpected(this.of(pass), hadPassed, waited));
  }
}

/** Passes that take about as long. */
function keyOf({ kind, rows }: Pass): string {
  return `${kind} ${Math.ceil(Math.log2(rows.length))}`;
}

function nextExpected(expected: number, hadPassed: boolean, waited: number): number {
  if (hadPassed) return (expected > LONG_MS ? SHORTER_THAN_LONG : SHORTER) * expected;
  return expected === 0 ? waited : Math.min(waited, LONGER * expected, expected + MOST_LONGER_MS);
}
