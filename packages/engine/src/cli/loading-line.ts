/**
 * Loading as a person sees it; nothing of it where a model loads in a moment.
 */

import { Engine } from '../engine.ts';
import { describeBytes } from '../describe-bytes.ts';
import type { EngineOptions, LoadProgress } from '../options.ts';
import { ProgressLine } from './progress-line.ts';
import type { Terminal } from './terminal.ts';

const MS_PER_SECOND = 1000;

/** Such as `loading  layer 3 of 24 · 1.9 GB of 13.8 GB · 12 s`. */
export function describeLoading({ what, doneBytes, totalBytes }: LoadProgress, seconds: number): string {
  const parts = [
    what,
    ...(totalBytes === 0 ? [] : [`${describeBytes(doneBytes)} of ${describeBytes(totalBytes)}`]),
    `${Math.floor(seconds)} s`,
  ];
  return `loading  ${parts.join(' · ')}`;
}

/** Such as `warning: runner passed over · runner hip · reason …`. */
export function describeWarning(message: string, fields: Readonly<Record<string, unknown>> = {}): string {
  return [`warning: ${message}`, ...Object.entries(fields).map(([name, value]) => `${name} ${String(value)}`)].join(
    ' · ',
  );
}

/** Writes what it is told. Times are those of the load, in seconds. */
export class LoadingLine {
  readonly #line: ProgressLine;
  #progress: LoadProgress | null = null;

  constructor(terminal: Terminal) {
    this.#line = new ProgressLine(terminal);
  }

  /** The load has come this far. */
  tell(progress: LoadProgress): void {
    this.#progress = progress;
    if (progress.phase !== 'ready') this.show(progress.seconds);
  }

  /** The load goes on. */
  show(seconds: number): void {
    if (this.#progress !== null) this.#line.show(describeLoading(this.#progress, seconds), seconds);
  }

  /** The load has ended: whatever comes next has the line to itself. */
  clear(): void {
    this.#progress = null;
    this.#line.clear();
  }
}

/** `Engine.load` for a command: tells the terminal how far it is, and what it warns of. */
export async function loadEngine(
  path: string | undefined,
  options: EngineOptions,
  terminal: Terminal,
): Promise<Engine> {
  const line = new LoadingLine(terminal);
  const started = performance.now();
  const clock = setInterval(() => line.show((performance.now() - started) / MS_PER_SECOND), MS_PER_SECOND);
  try {
    return await Engine.load(path, {
      ...options,
      logger: {
        warn: (message, fields) => {
          line.clear();
          terminal.error.write(`${describeWarning(message, fields)}\n`);
        },
      },
      onProgress: (progress) => line.tell(progress),
    });
  } finally {
    clearInterval(clock);
    line.clear();
  }
}
