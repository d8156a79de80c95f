import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../bin/router-kernel.mjs', import.meta.url));
const built = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Runs the built program; `act` may do something to it while it runs. */
function runProgram(
  args: readonly string[],
  act: (child: ReturnType<typeof spawn>) => void = () => undefined,
): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  act(child);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}

describe('the router-kernel program', () => {
  before(function () {
    if (existsSync(built)) return;
    console.log('skipped: the program runs from dist/, which is not built (tsc -b)');
    this.skip();
  });

  it('exits with 0 after a verification that passes', async () => {
    const { code, out, err } = await runProgram(['verify', '--backend', 'cpu', '--level', 'smoke']);
    assert.equal(err, '');
    assert.equal(code, 0);
    assert.match(out, /^cpu on host CPU: passed\. \d+ rows/m);
  });

  it('exits with 2 on wrong usage', async () => {
    const { code, out, err } = await runProgram(['verify', '--backend', 'tpu']);
    assert.equal(code, 2);
    assert.equal(out, '');
    assert.match(err, /found 'tpu'/);
  });

  it('stops with 130 on Ctrl-C', async function () {
    if (process.platform === 'win32') {
      console.log('skipped: there is no SIGINT to send on Windows');
      this.skip();
    }
    const { code, out, err } = await runProgram(['verify', '--backend', 'cpu', '--level', 'full'], (child) => {
      child.stdout?.once('data', () => child.kill('SIGINT'));
    });
    assert.equal(code, 130);
    assert.equal(err, 'Stopped.\n');
    assert.doesNotMatch(out, /passed/);
  });

  it('is not disturbed by a reader that has gone', async () => {
    const { code, err } = await runProgram(['--help'], (child) => child.stdout?.destroy());
    assert.equal(code, 0);
    assert.equal(err, '');
  });
});
