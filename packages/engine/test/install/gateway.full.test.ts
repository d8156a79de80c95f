import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BIN } from '../cli/switchyard.ts';
import { eventually, freePort } from './local-server.ts';

const PAGE = new URL('../../../../docs/operating.md', import.meta.url);

/** The configuration that the page shows, for ports of this machine. */
async function configuration(gateway: number, replicas: readonly number[]): Promise<string> {
  const text = /^```haproxy\n([\s\S]*?)^```$/m.exec(await readFile(PAGE, 'utf8'))?.[1];
  assert.ok(text !== undefined);
  const [a, b] = replicas;
  const moved = text
    .replace('bind :80', `bind 127.0.0.1:${gateway}`)
    .replace('10.0.0.1:8000', `127.0.0.1:${a}`)
    .replace('10.0.0.2:8000', `127.0.0.1:${b}`);
  assert.equal(moved.match(/127\.0\.0\.1/g)?.length, 3);
  return moved;
}

function ask(port: number, conversation: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-conversation-id': conversation },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'What is 17 + 25?' }] }),
  });
}

/** Prompts that a replica has answered. */
async function answered(port: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const counts = [...text.matchAll(/^vllm:request_success_total\{[^}]*\} (\d+)$/gm)].map(([, count]) => Number(count));
  return counts.reduce((sum, count) => sum + count, 0);
}

describe('Two replicas behind the gateway of docs/operating.md', function () {
  this.timeout(120_000);
  const processes: ChildProcess[] = [];
  let folder: string;
  let gateway: number;
  let replicas: number[];

  before(async function () {
    const hasGateway = await promisify(execFile)('haproxy', ['-v']).then(
      () => true,
      () => false,
    );
    if (!hasGateway) {
      console.log('      skipped: haproxy is not installed');
      this.skip();
    }
    folder = await mkdtemp(join(tmpdir(), 'switchyard-gateway-'));
    replicas = [await freePort(), await freePort()];
    gateway = await freePort();
    for (const port of replicas) {
      processes.push(spawn(process.execPath, [BIN, 'serve', '--port', String(port)], { stdio: 'ignore' }));
    }
    const file = join(folder, 'haproxy.cfg');
    await writeFile(file, await configuration(gateway, replicas));
    processes.push(spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' }));
    for (const port of replicas) await eventually(async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok);
    await eventually(async () => (await ask(gateway, 'first')).ok);
  });
  after(async () => {
    for (const each of processes) each.kill('SIGKILL');
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  it('keeps a conversation where it was, and spreads conversations', async () => {
    const counts = (): Promise<number[]> => Promise.all(replicas.map(answered));
    const before = await counts();
    for (let turn = 0; turn < 6; turn++) assert.equal((await ask(gateway, 'one-conversation')).status, 200);
    const after = await counts();
    assert.deepEqual(
      after.map((count, i) => count - (before[i] ?? 0)).sort((a, b) => a - b),
      [0, 6],
    );
    for (let other = 0; other < 12; other++) await ask(gateway, `conversation-${other}`);
    for (const [i, count] of (await counts()).entries()) assert.ok(count > (after[i] ?? 0), `replica ${i}`);
  });

  it('loses no request while a replica drains and goes', async () => {
    const [first] = processes;
    assert.ok(first !== undefined);
    const gone = once(first, 'exit');
    first.kill('SIGTERM');
    for (let turn = 0; turn < 40; turn++) {
      const response = await ask(gateway, `draining-${turn}`);
      assert.equal(response.status, 200, `request ${turn}: ${await response.clone().text()}`);
    }
    assert.deepEqual(await gone, [0, null]);
  });
});
