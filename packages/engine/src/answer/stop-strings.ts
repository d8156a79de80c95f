/**
 * Finds stop strings in a stream of text without ever giving out a part of one.
 */

/** Texts that end an answer. */
export interface StopStrings {
  /** None empty. */
  readonly texts: readonly string[];
  /** Whether the one that comes is given out. */
  readonly included: boolean;
}

/** What may be given out now, and the stop string that ended the stream, if one did. */
export interface StopStringResult {
  readonly text: string;
  readonly stoppedBy: string | null;
}

/** Holds back the end of the text as long as it could be the beginning of a stop string. */
export class StopStringFilter {
  readonly #stops: readonly string[];
  readonly #included: boolean;
  #held = '';

  constructor({ texts, included }: StopStrings) {
    this.#stops = texts;
    this.#included = included;
  }

  /** Takes more text. The earliest stop string wins; of two at the same place, the first in the list. */
  push(text: string): StopStringResult {
    if (this.#stops.length === 0) return { text, stoppedBy: null };
    const all = this.#held + text;
    let position = -1;
    let stoppedBy: string | null = null;
    for (const stop of this.#stops) {
      const found = all.indexOf(stop);
      if (found >= 0 && (position < 0 || found < position)) {
        position = found;
        stoppedBy = stop;
      }
    }
    if (stoppedBy !== null) {
      this.#held = '';
      return { text: all.slice(0, position + (this.#included ? stoppedBy.length : 0)), stoppedBy };
    }
    const keep = Math.max(...this.#stops.map((stop) => overlap(all, stop)));
    this.#held = all.slice(all.length - keep);
    return { text: all.slice(0, all.length - keep), stoppedBy: null };
  }

  /** The stream is over: what was held back is no stop string after all. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }
}

/** The length of the longest end of `text` that is a beginning of `stop`, the whole of it excluded. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
