/** The server of a load, in a process of its own. */

import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { LoadServerMessage, LoadServerSettings, ServerSample } from './serve-load-server.ts';

/** A server that listens. */
export interface LoadServer {
  readonly child: ChildProcess;
  readonly url: string;
  /** Ids that have a token. */
  readonly vocabularySize: number;
}

export async function startLoadServer(settings: LoadServerSettings = {}): Promise<LoadServer> {
  const program = new URL('./serve-load-server.ts', import.meta.url);
  const child = fork(program, [JSON.stringify(settings)], { execArgv: ['--import=tsx/esm'] });
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`The server ended with ${String(code)} before it listened`);
  });
  const [message] = (await Promise.race([once(child, 'message'), failed])) as [LoadServerMessage];
  failed.catch(() => undefined);
  assert.equal(message.type, 'listening');
  const { url, vocabularySize } = message;
  return { child, url, vocabularySize };
}

/** Asks the server for its figures since the last call. */
export async function sample(child: ChildProcess): Promise<ServerSample> {
  child.send('sample');
  for (;;) {
    const [message] = (await once(child, 'message')) as [LoadServerMessage];
    if (message.type === 'sample') return message.sample;
  }
}

/** Ends the server; returns its exit code. */
export async function stopLoadServer(child: ChildProcess): Promise<number | null> {
  child.send('stop');
  const [exitCode] = (await once(child, 'exit')) as [number | null];
  return exitCode;
}
