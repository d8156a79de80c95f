/** Servers on a free loopback port, and what tests need to talk to them. */

import OpenAI from 'openai';
import { Engine } from '../../src/engine.ts';
import type { EngineOptions } from '../../src/options.ts';
import type { ServerOptions } from '../../src/server/options.ts';
import { type RunningServer, startServer } from '../../src/server/start-server.ts';
import type { ScriptedRunnerOptions } from './prompted-runner.ts';

/** A server with the embedded model. */
export async function startModelServer(server: ServerOptions = {}, engine: EngineOptions = {}): Promise<RunningServer> {
  const running = await startServer(
    () => Engine.load(undefined, { router: 'cpu', kvCacheBytes: 256 * 2 ** 20, ...engine }),
    'pocket-dictionary',
    { port: 0, ...server },
  );
  await running.ready;
  return running;
}

/** A server whose model says what its prompts tell it to. Not yet `ready`. */
export function startScriptedServer(
  server: ServerOptions = {},
  engine: EngineOptions = {},
  options: ScriptedRunnerOptions = {},
): Promise<RunningServer> {
  return startServer(
    () =>
      Engine.load(undefined, {
        runnerModule: new URL('./prompted-runner.ts', import.meta.url),
        runnerOptions: options,
        maxCachedPrefixes: 0,
        ...engine,
      }),
    'scripted',
    { port: 0, ...server },
  );
}

/** OpenAI's own client, which makes no second attempt. @param sent Gets every body that it sends */
export function clientOf(server: RunningServer, apiKey = 'none', sent: unknown[] = []): OpenAI {
  return new OpenAI({
    baseURL: `${server.url}/v1`,
    apiKey,
    maxRetries: 0,
    timeout: 30_000,
    fetch: (url, init) => {
      if (typeof init?.body === 'string') sent.push(JSON.parse(init.body));
      return fetch(url, init);
    },
  });
}

/** The user's message that makes the scripted model say `answer`. */
export function scripted(answer: string): string {
  return `SCRIPT ${Buffer.from(answer, 'utf8').toString('hex')}`;
}

/** The prompt that the scripted model answers `ECHO PROMPT` with. */
export function echoed(answer: string | null | undefined): string {
  return Buffer.from(answer ?? '', 'hex').toString('utf8');
}

/** Posts a body as it is. */
export function post(server: RunningServer, path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  return fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...init,
  });
}

/** What OpenAI's error bodies have. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** The error in an answer. */
export async function errorOf(response: Response): Promise<ErrorBody['error']> {
  return ((await response.json()) as ErrorBody).error;
}

/** Waits until the server's state is this, at most five seconds. */
export async function untilState(server: RunningServer, state: RunningServer['state']): Promise<void> {
  for (let attempt = 0; server.state !== state; attempt += 1) {
    if (attempt > 500) throw new Error(`the server is ${server.state}, not ${state}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A value of `/metrics`; NaN where there is none of that name. */
export async function metric(server: RunningServer, name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, 'm').exec(text)?.[1]);
}

/** Waits until a value of `/metrics` is this, at most 20 seconds. */
export async function untilMetric(server: RunningServer, name: string, value: number): Promise<void> {
  let found = await metric(server, name);
  for (let attempt = 0; found !== value; attempt += 1) {
    if (attempt > 1000) throw new Error(`${name} is ${found}, not ${value}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    found = await metric(server, name);
  }
}
