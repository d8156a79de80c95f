import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main } from '../../src/cli/main.ts';

const STORED = fileURLToPath(new URL('../../../../docs/benchmarks/', import.meta.url));

async function run(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const code = await main(['bench', ...args], {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    signal: new AbortController().signal,
  });
  return { code, out, err };
}

describe('router-kernel bench', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'switchyard-bench-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('shows an earlier run, with its tables and its plot, and times nothing', async () => {
    const plot = join(folder, 'plot.svg');
    const { code, out } = await run('--from', join(STORED, 'h100-hip-router.json'), '--plot', plot);
    assert.equal(code, 0);
    assert.equal(out, await readFile(join(STORED, 'h100-hip-router.txt'), 'utf8'));
    assert.equal(await readFile(plot, 'utf8'), await readFile(join(STORED, 'h100-hip-router.svg'), 'utf8'));
  });

  it('sets the router with its dispatch plan beside the router alone and the plan in launches of its own', async () => {
    const { code, out } = await run('--from', join(STORED, 'h100-hip-plan.json'));
    assert.equal(code, 0);
    const lines = out.split('\n');
    const head = lines.findIndex((line) => line.includes('with plan'));
    assert.match(lines[head] ?? '', /^ +T +router alone +with plan +p99 +plan apart +p99 +x apart$/);
    const [tokens, alone, planned, , apart, , ratio] = (lines[head + 1] ?? '').trim().split(/ +/).map(Number);
    assert.equal(tokens, 1);
    assert.ok(alone !== undefined && planned !== undefined && apart !== undefined && ratio !== undefined);
    assert.ok(alone < planned && planned < apart);
    assert.ok(Math.abs(apart / planned - ratio) < 0.02);
  });

  it('refuses contenders that nobody knows', async () => {
    const { code, err } = await run('--contenders', 'switchyard,nobody');
    assert.equal(code, 2);
    assert.match(err, /--contenders must be of switchyard, .* · found 'nobody'/);
  });

  it('ends with 1 where an earlier run had wrong answers', async () => {
    const file = join(folder, 'wrong.json');
    const stored = JSON.parse(await readFile(join(STORED, 'h100-hip-router.json'), 'utf8')) as object;
    await writeFile(file, JSON.stringify({ ...stored, wrong: ['vllm (8, 2) f32 T = 1: row 0'] }));
    const { code, out } = await run('--from', file);
    assert.equal(code, 1);
    assert.match(out, /WRONG, not timed: vllm/);
  });

  it('refuses a file that is no benchmark', async () => {
    const { code, err } = await run('--from', join(STORED, 'h100-hip-verify.json'));
    assert.equal(code, 1);
    assert.match(err, /holds no HIP benchmark · give one/);
    for (const name of ['h100-hip-router.svg', 'no-such-file.json']) {
      const { code, err } = await run('--from', join(STORED, name));
      assert.equal(code, 2);
      assert.match(err, /--from must name a JSON file · found/);
    }
  });

  it('says what is missing where there is no GPU', async function () {
    const { code, err } = await run('--quick');
    if (code === 0) {
      console.log('      skipped: there is a GPU');
      this.skip();
    }
    assert.equal(code, 1);
    assert.match(err, /install an AMD or NVIDIA driver/);
  });
});
