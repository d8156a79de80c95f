/** Runs checks in a process of their own, and ends it when it takes too long. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { AbortedError } from '../errors.ts';
import { deserializeError } from '../serialized-error.ts';
import type { CheckFailure, CheckName, CheckResult } from './check-result.ts';
import type { CheckPhase, CheckTask, FromCheck } from './check-protocol.ts';

const RUNS_FROM_SOURCE = import.meta.url.endsWith('.ts');
const PROCESS_URL = new URL(RUNS_FROM_SOURCE ? './from-source.mjs' : './check-process.js', import.meta.url);

/** The most that a phase may take, in milliseconds: compiling and loading, and the work on the device. */
const LIMITS: Readonly<Record<CheckPhase, number>> = { ready: 600_000, device: 15_000 };
/** What a process that has said everything may take to end by itself. */
const ENDING_MS = 3000;

/** Codes of errors of compilers. */
const UNCOMPILED: readonly string[] = ['KERNEL_COMPILE_FAILED', 'UNKNOWN_ARCHITECTURE'];
/** Set in the process of a check. */
const WITHIN_CHECK = 'SWITCHYARD_WITHIN_CHECK';
/** Signals that a process gets for what it did itself, and not from a user or the system. */
const FAULTS: readonly string[] = ['SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGSEGV', 'SIGTRAP'];
/** Characters of what it wrote on its error stream that are told. */
const TOLD = 300;

/** How a check is run. */
export interface RunCheckOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onPhase?: (check: CheckName, phase: CheckPhase) => void;
  /** The module that the process runs. Defaults to the check. */
  readonly module?: URL;
  /** See LIMITS. */
  readonly limits?: Partial<typeof LIMITS>;
}

/** What checks found, in their order. The first that failed is the last. */
export type CheckOutcome = readonly (readonly [CheckName, CheckResult])[];

/**
 * Runs the checks of a task.
 *
 * @throws AbortedError; what kept a check from being run: the process's own error, or that it cannot be started
 */
export async function runCheck(
  task: CheckTask,
  { signal, onPhase = () => {}, module = PROCESS_URL, limits }: RunCheckOptions = {},
): Promise<CheckOutcome> {
  const most = { ...LIMITS, ...limits };
  const found: [CheckName, CheckResult][] = [];
  // A program in one file starts itself anew where it should start a module: once is enough.
  if (process.env[WITHIN_CHECK] !== undefined) throw new Error('this process is one that a check started');
  const child = fork(module, [], {
    execArgv: [],
    env: { ...process.env, [WITHIN_CHECK]: '1' },
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const killWithParent = (): void => void child.kill('SIGKILL');
  process.on('exit', killWithParent);
  let at: { check: CheckName; phase: CheckPhase } = { check: task.checks[0] ?? 'golden', phase: 'ready' };
  const stop = new AbortController();
  try {
    const failure = await new Promise<CheckFailure | null>((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const written = firstWords(child);
      const watch = (milliseconds: number, late: () => void): void => {
        clearTimeout(timer);
        timer = setTimeout(late, milliseconds);
      };
      const enter = (): void =>
        watch(most[at.phase], () => {
          const what = at.phase === 'device' ? 'the device' : 'compiling and loading';
          resolve({ kind: 'hung', found: `${what} busy after ${most[at.phase] / 1000} s` });
        });
      const abort = (): void => reject(new AbortedError('Loading', signal?.reason));
      // Taken off by hand: a signal of another realm takes no signal of this one among its listener's options.
      signal?.addEventListener('abort', abort);
      stop.signal.addEventListener('abort', () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
      });
      const receive = (message: FromCheck): void => {
        if (message.type === 'failed') {
          const { code, message: found } = message.error;
          // The same compiler will not take them at the next load either.
          if (code !== undefined && UNCOMPILED.includes(code)) resolve({ kind: 'uncompiled', found });
          else reject(deserializeError(message.error));
        } else if (message.type === 'phase') {
          at = message;
          onPhase(at.check, at.phase);
          enter();
        } else {
          found.push([message.check, message.result]);
          // What follows is freeing, or getting ready for the next.
          at = { check: message.check, phase: 'ready' };
          const isLast = message.result.failure !== null || found.length === task.checks.length;
          if (isLast) watch(ENDING_MS, () => resolve(null));
          else enter();
        }
      };
      child.on('message', receive);
      child.once('error', reject);
      const ended = (code: number | null, signalName: NodeJS.Signals | null): void => {
        const isDone = found.length === task.checks.length || found.at(-1)?.[1].failure != null;
        const words = written();
        const how = `${signalName ?? `exit code ${code}`}${words === '' ? '' : ` (${words})`}`;
        if (isDone) resolve(null);
        else if (signalName !== null && FAULTS.includes(signalName)) resolve({ kind: 'ended', found: how });
        else reject(new Error(`the process that checks it ended: ${how}`));
      };
      // What it has said last may still be on its way.
      child.once('close', (code, signalName) => {
        if (child.connected) child.once('disconnect', () => ended(code, signalName));
        else setImmediate(() => ended(code, signalName));
      });
      if (signal?.aborted === true) abort();
      enter();
      child.send(task, (error) => {
        if (error !== null) reject(error);
      });
    });
    if (failure !== null) found.push([at.check, { cases: 0, milliseconds: 0, failure }]);
    return found;
  } finally {
    stop.abort();
    process.off('exit', killWithParent);
    child.on('error', () => undefined);
    await killed(child);
  }
}

/** Ends a process, and waits until what it held is free. */
async function killed(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  // One that a driver holds in the kernel ends when it lets go.
  await Promise.race([gone, delay(ENDING_MS)]);
  child.stderr?.destroy();
  child.unref();
}

/** Collects what a process writes on its error stream; the function gives the beginning of it, on one line. */
function firstWords(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.setEncoding('utf8');
  child.stderr?.on('data', (part: string) => {
    text = `${text}${part}`.slice(0, 2 * TOLD);
  });
  return () => text.replaceAll(/\s+/g, ' ').trim().slice(0, TOLD);
}
