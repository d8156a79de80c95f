/** `switchyard pull`. */

import { type PulledModel, pullModel, type PullProgress } from '@switchyard/models/hub';
import { describeBytes } from '../describe-bytes.ts';
import { type OptionValues, UsageError } from './parse-options.ts';
import { ProgressLine } from './progress-line.ts';
import type { Terminal } from './terminal.ts';

const MS_PER_SECOND = 1000;
const SECONDS_PER_MINUTE = 60;
/** How often the line is written: bytes come in thousands of pieces a second. */
const SHOW_INTERVAL_MS = 200;

/** The person ended the download. */
class PullStoppedError extends Error {
  override readonly name = 'PullStoppedError';
  readonly code = 'STOPPED';
  constructor(signal: string) {
    super(`The download was stopped · by ${signal} · the same command goes on where it was`);
  }
}

/** Such as `downloading  2.1 GB of 13.8 GB · 45 MB/s · 4 min left`. */
export function describePull(progress: PullProgress, seconds: number): string {
  const { phase, what, doneBytes, totalBytes, downloadedBytes } = progress;
  if (phase === 'asking') return `asking ${what}`;
  const done = `downloading  ${describeBytes(doneBytes)} of ${describeBytes(totalBytes)}`;
  if (phase === 'waiting') return `${done} · waiting: ${what}`;
  const bytesPerSecond = seconds > 0 ? downloadedBytes / seconds : 0;
  if (bytesPerSecond === 0) return done;
  const left = describeSeconds((totalBytes - doneBytes) / bytesPerSecond);
  return `${done} · ${describeBytes(bytesPerSecond)}/s · ${left} left`;
}

function describeSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 2 * SECONDS_PER_MINUTE ? `${whole} s` : `${Math.ceil(whole / SECONDS_PER_MINUTE)} min`;
}

/** Throws ModelsError, PullStoppedError. */
export async function pullCommand(values: OptionValues, terminal: Terminal): Promise<void> {
  const name = values.words;
  if (name === undefined) {
    throw new UsageError('No model · found no words · name one, such as switchyard pull openai/gpt-oss-20b');
  }
  const pulled = await pull(name, values.number('connections'), terminal);
  if (values.flag('json')) {
    terminal.output.write(`${JSON.stringify(pulled)}\n`);
    return;
  }
  const { totalBytes, downloadedBytes, path } = pulled;
  const how = downloadedBytes === 0 ? 'there already' : `${describeBytes(downloadedBytes)} of it downloaded`;
  terminal.error.write(`${pulled.name}: ${describeBytes(totalBytes)}, ${how}. Use it as --model ${pulled.name}\n`);
  terminal.output.write(`${path}\n`);
}

async function pull(name: string, connections: number | undefined, terminal: Terminal): Promise<PulledModel> {
  const line = new ProgressLine(terminal);
  const stop = new AbortController();
  const stopOn = (signal: NodeJS.Signals): void => stop.abort(new PullStoppedError(signal));
  const started = performance.now();
  let progress: PullProgress | null = null;
  const show = (): void => {
    const seconds = (performance.now() - started) / MS_PER_SECOND;
    if (progress !== null) line.show(describePull(progress, seconds), seconds);
  };
  const clock = setInterval(show, SHOW_INTERVAL_MS);
  // Once: a second signal ends the process as it does without a handler.
  process.once('SIGINT', stopOn);
  process.once('SIGTERM', stopOn);
  try {
    return await pullModel(name, {
      ...(connections === undefined ? {} : { connections }),
      signal: stop.signal,
      onProgress: (now) => {
        progress = now;
      },
    });
  } finally {
    process.off('SIGINT', stopOn);
    process.off('SIGTERM', stopOn);
    clearInterval(clock);
    line.clear();
  }
}
