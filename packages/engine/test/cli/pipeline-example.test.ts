import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { cutOff } from './switchyard.ts';

const PROGRAM = fileURLToPath(new URL('../../../../examples/gpt-oss-pipeline/dist/main.js', import.meta.url));
/** Makes a program believe that a person looks. */
const TERMINAL = 'data:text/javascript,process.stdout.isTTY=true;process.stderr.isTTY=true';
const ESCAPE = '\u001b';

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the built example of the root's `npm start`. */
async function start(words: readonly string[], terminal = false, env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const loader = terminal ? ['--import', TERMINAL] : [];
  const child = spawn(process.execPath, [...loader, PROGRAM, ...words], {
    env: { ...process.env, NO_COLOR: '', TERM: 'xterm', ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

const LIGHTHOUSE = 'Lighthouse: a tower with a light that gives warning of shoals to passing ships.';

describe('the pipeline example', () => {
  it('asks its own question, and tells tokens, speeds, router and the load of every expert', async () => {
    const { code, stdout, stderr } = await start([]);
    assert.deepEqual([code, stderr], [0, '']);
    assert.ok(!stdout.includes(ESCAPE) && !stdout.includes('\r') && !stdout.includes('<|'));
    const text = new RegExp(
      [
        '^What is a lighthouse\\?\n\n.+\n',
        `${LIGHTHOUSE}\n\n`,
        'tokens {4}76 prompt, 45 generated \\(9 of them analysis\\)\n',
        'speed {5}prefill \\d+ tokens/s, decode \\d+ tokens/s\n',
        'latency {3}first token after [\\d.]+ ms, all after [\\d.]+ ms\n',
        'runner {4}(?:native \\(.+\\)|onnxruntime-cpu)\n',
        'router {4}\\w+ \\(.+\\)\n\n',
        'Tokens that each of 32 experts got, layer by layer:\n',
        '(?:layer {2}\\d \\|.{32}\\| busiest \\d+ \\(\\d+\\), idle \\d+\n){6}$',
      ].join(''),
    );
    assert.match(stdout, text);
  });

  it('asks another question, and prints one JSON object where that is wanted', async () => {
    const { code, stdout, stderr } = await start(['What is', '17 + 25?', '--json'], true);
    assert.deepEqual([code, stderr], [0, '']);
    const answer = JSON.parse(stdout) as {
      question: string;
      final: string;
      usage: { promptTokens: number; completionTokens: number };
      timings: Record<string, number>;
      router: { backend: string };
      expertLoad: number[][];
    };
    assert.deepEqual([answer.question, answer.final], ['What is 17 + 25?', '42']);
    for (const name of ['prefillTokensPerSecond', 'decodeTokensPerSecond', 'timeToFirstToken']) {
      assert.ok((answer.timings[name] ?? 0) > 0, name);
    }
    assert.ok(answer.router.backend.length > 0);
    const { promptTokens, completionTokens } = answer.usage;
    assert.equal(answer.expertLoad.length, 6);
    for (const layer of answer.expertLoad) {
      assert.equal(layer.length, 32);
      // The last token is not computed further.
      assert.equal(
        layer.reduce((sum, tokens) => sum + tokens, 0),
        4 * (promptTokens + completionTokens - 1),
      );
    }
  });

  it('shows a person its progress and dims the analysis, and leaves colours out where they are not wanted', async () => {
    const shown = await start([], true);
    assert.match(shown.stderr, /^\rLoading \[\.{30}\] {3}0 %[\s\S]*\rLoading \[#{30}\] 100 %\n$/);
    assert.ok(shown.stdout.includes(`${ESCAPE}[2m`) && shown.stdout.includes(`${ESCAPE}[48;5;`));
    // The final answer is plain.
    assert.ok(shown.stdout.includes(`\n${LIGHTHOUSE}\n`));
    for (const plain of [
      await start(['--no-color'], true),
      await start([], true, { NO_COLOR: '1' }),
      await start([], true, { TERM: 'dumb' }),
    ]) {
      assert.equal(plain.code, 0);
      assert.ok(!plain.stdout.includes(ESCAPE));
    }
  });

  it('refuses wrong usage with 2, tells a runtime error with 1, and helps', async () => {
    for (const words of [['--colour'], ['--model'], [' ']]) {
      const { code, stdout, stderr } = await start(words);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, /^[^\n]+ · .+\n$/);
    }
    const broken = await start(['--model', '/nowhere']);
    assert.deepEqual([broken.code, broken.stdout], [1, '']);
    assert.match(broken.stderr, /^There is no model \/nowhere · there is no such folder · /);
    const help = await start(['--help']);
    assert.equal(help.code, 0);
    for (const option of ['--model', '--json', '--no-color']) assert.ok(help.stdout.includes(option));
  });

  it('ends in peace where its reader goes away', async () => {
    for (let time = 0; time < 3; time++) assert.deepEqual(await cutOff(PROGRAM), [0, null, '']);
  });
});
