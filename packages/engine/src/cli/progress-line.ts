/**
 * Progress as a person sees it: one line on the terminal's error stream, written anew as it goes on. Where nobody looks, a
 * line now and then.
 */

import type { Terminal } from './terminal.ts';

/** Seconds until the first line where nobody looks, and from each to the next. */
const LINE_SECONDS = 5;
/** To the line's start, which is then cleared. */
const START_OF_LINE = '\r\u001b[2K';

/** Writes texts over each other. */
export class ProgressLine {
  readonly #terminal: Terminal;
  #shown = '';
  #nextSeconds = LINE_SECONDS;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** @param seconds since what is shown began */
  show(text: string, seconds: number): void {
    const { liveColumns, error } = this.#terminal;
    if (liveColumns === undefined) {
      if (seconds < this.#nextSeconds) return;
      this.#nextSeconds = seconds + LINE_SECONDS;
      error.write(`${text}\n`);
    } else if (text !== this.#shown) {
      this.#shown = text;
      // A line that wraps could not be written anew.
      error.write(`${START_OF_LINE}${text.slice(0, Math.max(0, liveColumns - 1))}`);
    }
  }

  /** Whatever comes next has the line to itself. */
  clear(): void {
    if (this.#shown !== '') this.#terminal.error.write(START_OF_LINE);
    this.#shown = '';
  }
}
