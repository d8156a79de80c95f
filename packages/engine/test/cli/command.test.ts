import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandLineDocument } from '../../src/cli/help.ts';
import { COMMANDS } from '../../src/cli/option-table.ts';

const BIN = fileURLToPath(new URL('../../bin/switchyard.mjs', import.meta.url));

/** Runs the built command. */
function switchyard(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, ...words], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

describe('switchyard', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'switchyard-cli-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('answers as JSON and writes the routing', async () => {
    const trace = join(folder, 'trace.json');
    const { code, stdout } = await switchyard(
      'generate',
      '--prompt',
      'What is 17 + 25?',
      '--json',
      '--trace-routing',
      trace,
    );
    assert.equal(code, 0);
    const answer = JSON.parse(stdout) as { final: string; ids: number[]; usage: { promptTokens: number } };
    assert.equal(answer.final, '42');
    assert.deepEqual(Object.keys(answer), [
      'ids',
      'text',
      'analysis',
      'final',
      'toolCalls',
      'finishReason',
      'usage',
      'timings',
      'router',
    ]);
    const layers = JSON.parse(await readFile(trace, 'utf8')) as {
      layer: number;
      experts: number[][];
      weights: number[][];
    }[];
    assert.equal(layers.length, 6);
    for (const { experts, weights } of layers) {
      assert.equal(experts.length, answer.usage.promptTokens + answer.ids.length);
      assert.equal(weights.length, experts.length);
    }
  });

  it('scores a file line by line', async () => {
    const file = join(folder, 'texts.jsonl');
    await writeFile(file, '{"text":"<|start|>user"}\n{"ids":[1,2,3]}\n');
    const { code, stdout } = await switchyard('score', '--file', file, '--json');
    assert.equal(code, 0);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { nll: number; tokens: number });
    assert.deepEqual(
      lines.map(({ tokens }) => tokens),
      [2, 3],
    );
    for (const { nll } of lines) assert.ok(nll > 0);
  });

  it('exits with 2 for wrong usage', async () => {
    const wrong = [
      [],
      ['frobnicate'],
      ['generate'],
      ['generate', '--prmpt', 'a'],
      ['generate', '--prompt', 'a', '--max-tokens', 'many'],
      ['generate', '--prompt', 'a', '--prompt-ids', '1'],
      ['generate', '--prompt-ids', '1,x'],
      ['generate', '--prompt', 'a', '--router', 'gpu'],
      ['score'],
    ];
    for (const words of wrong) {
      const { code, stderr, stdout } = await switchyard(...words);
      assert.equal(code, 2, words.join(' '));
      assert.match(stderr, /^switchyard: .+\n$/);
      assert.equal(stdout, '');
    }
  });

  it('exits with 1 for what goes wrong later', async () => {
    const missing = await switchyard('generate', '--model', join(folder, 'nothing'), '--prompt', 'a');
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /FILE_NOT_READABLE/);
    assert.equal((await switchyard('score', '--file', join(folder, 'nothing.jsonl'))).code, 1);
  });

  it('helps', async () => {
    assert.equal((await switchyard('--help')).code, 0);
    for (const { name, options } of COMMANDS) {
      const { code, stdout } = await switchyard(name, '--help');
      assert.equal(code, 0);
      for (const option of options) assert.ok(stdout.includes(`--${option.name}`));
    }
  });

  it('is documented by docs/cli.md as it is', async () => {
    assert.equal(await readFile(new URL('../../../../docs/cli.md', import.meta.url), 'utf8'), commandLineDocument());
  });
});
