/**
 * Loading as a person sees it: one line on the terminal's error stream, written anew as it goes on. Where nobody looks,
 * a line now and then, and none for a model that loads in a moment.
 */

import { Engine } from '../engine.ts';
import { describeBytes } from '../describe-bytes.ts';
import type { EngineOptions, LoadProgress } from '../options.ts';
import type { Terminal } from './terminal.ts';

/** Seconds until the first line where nobody looks, and from each to the next. */
const LINE_SECONDS = 5;
const MS_PER_SECOND = 1000;
/** To the line's start, which is then cleared. */
const START_OF_LINE = '\r\u001b[2K';

/** Such as `loading  layer 3 of 24 · 1.9 GB of 13.8 GB · 12 s`. */
export function describeLoading({ what, doneBytes, totalBytes }: LoadProgress, seconds: number): string {
  const parts = [
    what,
    ...(totalBytes === 0 ? [] : [`${describeBytes(doneBytes)} of ${describeBytes(totalBytes)}`]),
    `${Math.floor(seconds)} s`,
  ];
  return `loading  ${parts.join(' · ')}`;
}

/** Writes what it is told. Times are those of the load, in seconds. */
export class LoadingLine {
  readonly #terminal: Terminal;
  #progress: LoadProgress | null = null;
  #shown = '';
  #nextSeconds = LINE_SECONDS;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** The load has come this far. */
  tell(progress: LoadProgress): void {
    this.#progress = progress;
    if (progress.phase !== 'ready') this.show(progress.seconds);
  }

  /** The load goes on. */
  show(seconds: number): void {
    if (this.#progress === null) return;
    const { liveColumns, error } = this.#terminal;
    const text = describeLoading(this.#progress, seconds);
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

  /** The load has ended: whatever comes next has the line to itself. */
  clear(): void {
    this.#progress = null;
    if (this.#shown !== '') this.#terminal.error.write(START_OF_LINE);
    this.#shown = '';
  }
}

/** `Engine.load` for a command: tells the terminal how far it is. */
export async function loadEngine(
  path: string | undefined,
  options: EngineOptions,
  terminal: Terminal,
): Promise<Engine> {
  const line = new LoadingLine(terminal);
  const started = performance.now();
  const clock = setInterval(() => line.show((performance.now() - started) / MS_PER_SECOND), MS_PER_SECOND);
  try {
    return await Engine.load(path, { ...options, onProgress: (progress) => line.tell(progress) });
  } finally {
    clearInterval(clock);
    line.clear();
  }
}
