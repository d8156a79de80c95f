import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { embeddedCheckpointPath } from '@switchyard/models';
import type { CheckTask } from '../../src/device-check/check-protocol.ts';
import { type RunCheckOptions, runCheck } from '../../src/device-check/run-check.ts';
import { AbortedError } from '../../src/errors.ts';

const TASK: CheckTask = {
  device: undefined,
  activations: 'bf16',
  checks: ['golden', 'shape'],
  path: embeddedCheckpointPath(),
};
const RIGHT = { cases: 3, milliseconds: 20, failure: null };
const WRONG = { ...RIGHT, failure: { kind: 'wrong', found: 'another token' } } as const;

describe('a check in a process of its own', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'switchyard-check-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs a task in a process that does what the body says: `send` tells the parent, `task` is what it was asked. */
  let scripts = 0;
  function runScript(body: string, options: RunCheckOptions = {}): ReturnType<typeof runCheck> {
    const file = join(folder, `${scripts++}.mjs`);
    const prelude = `const send = (message) => new Promise((done) => process.send(message, () => done()));
const phase = (check, phase) => send({ type: 'phase', check, phase });
const checked = (check, result) => send({ type: 'checked', check, result });
process.once('message', async (task) => {
`;
    writeFileSync(file, `${prelude}${body}\n});\n`);
    return runCheck(TASK, { module: pathToFileURL(file), ...options });
  }

  it('gives what each check found, and tells what it is at', async () => {
    const phases: string[] = [];
    const outcome = await runScript(
      `for (const check of task.checks) {
  await phase(check, 'ready');
  await phase(check, 'device');
  await checked(check, ${JSON.stringify(RIGHT)});
}
process.exit(0);`,
      { onPhase: (check, phase) => phases.push(`${check} ${phase}`) },
    );
    assert.deepEqual(outcome, [
      ['golden', RIGHT],
      ['shape', RIGHT],
    ]);
    assert.deepEqual(phases, ['golden ready', 'golden device', 'shape ready', 'shape device']);
  });

  it('ends with the first that fails, also where the process does not end by itself', async () => {
    const outcome = await runScript(`await checked('golden', ${JSON.stringify(WRONG)});`);
    assert.deepEqual(outcome, [['golden', WRONG]]);
  });

  it('ends a device that does not finish, after the limit', async () => {
    const outcome = await runScript(
      `await checked('golden', ${JSON.stringify(RIGHT)});
await phase('shape', 'device');
for (;;);`,
      { limits: { device: 200 } },
    );
    assert.deepEqual(outcome.at(-1), [
      'shape',
      { cases: 0, milliseconds: 0, failure: { kind: 'hung', found: 'the device busy after 0.2 s' } },
    ]);
  });

  it('ends a compiler that does not finish, after the limit', async () => {
    const failure = { kind: 'hung', found: 'compiling and loading busy after 0.2 s' };
    const outcome = await runScript('for (;;);', { limits: { ready: 200 } });
    assert.deepEqual(outcome, [['golden', { cases: 0, milliseconds: 0, failure }]]);
  });

  it('lives on where the device ends the process, with what it said', async function () {
    if (process.platform === 'win32') this.skip();
    const outcome = await runScript(
      `process.stderr.write('Memory access fault by GPU node-1\\n');
await phase('golden', 'device');
process.abort();`,
    );
    const failures = outcome.map(([check, { failure }]) => [check, failure?.kind]);
    assert.deepEqual(failures, [['golden', 'ended']]);
    assert.match(outcome[0]?.[1].failure?.found ?? '', /^SIGABRT \(Memory access fault by GPU node-1/);
  });

  it('was not run where the process cannot be, or ends early', async () => {
    await assert.rejects(runScript(`process.exit(7);`), /ended: exit code 7/);
    await assert.rejects(runScript(`process.kill(process.pid, 'SIGKILL');`), /ended: SIGKILL/);
    const error = { name: 'OutOfDeviceMemoryError', message: 'no room', code: 'OUT_OF_DEVICE_MEMORY' };
    await assert.rejects(runScript(`await send({ type: 'failed', error: ${JSON.stringify(error)} });`), error);
    await assert.rejects(runCheck(TASK, { module: pathToFileURL(join(folder, 'nothing.mjs')) }), /ended: exit code 1/);
  });

  it('fails where the compiler does not take the kernels', async () => {
    const error = { name: 'KernelCompileError', message: 'no such option', code: 'KERNEL_COMPILE_FAILED' };
    assert.deepEqual(
      await runScript(
        `await phase('shape', 'ready'); await send({ type: 'failed', error: ${JSON.stringify(error)} });`,
      ),
      [['shape', { cases: 0, milliseconds: 0, failure: { kind: 'uncompiled', found: 'no such option' } }]],
    );
  });

  it('is given up at once at the signal of the load', async () => {
    const abort = new AbortController();
    const running = runScript(`await phase('golden', 'ready'); for (;;);`, {
      signal: abort.signal,
      onPhase: () => abort.abort(),
    });
    await assert.rejects(running, AbortedError);
    await assert.rejects(runScript('for (;;);', { signal: AbortSignal.abort() }), AbortedError);
  });

  it('is the real one by default: without a GPU it says what the drivers say', async function () {
    const { listGpuDevices } = await import('@switchyard/gpu');
    if (listGpuDevices().devices.length > 0) this.skip();
    await assert.rejects(runCheck(TASK), { code: 'NO_GPU' });
  });
});
