import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { reference } from '../../golden/reference.ts';
import { BIN } from '../../cli/switchyard.ts';
import type { WebGpuAnswers } from './webgpu-answers-process.ts';

const ANSWERS = fileURLToPath(new URL('./webgpu-answers-process.ts', import.meta.url));

async function runProgram(file: string, args: readonly string[], env = process.env): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [file, ...args], { env });
  return JSON.parse(stdout);
}

describe("the engine with router 'webgpu'", function () {
  this.timeout(120_000);
  let answers: WebGpuAnswers;

  before(async function () {
    answers = (await runProgram(ANSWERS, [])) as WebGpuAnswers;
    if (answers.unavailable === null) return;
    console.log(`    skipped: ${answers.unavailable}`);
    this.skip();
  });

  it('runs the router there', () => {
    assert.equal(answers.router?.backend, 'webgpu');
    assert.match(answers.router?.device ?? '', /swiftshader/i);
  });

  it('gives the reference answers, token for token', () => {
    assert.equal(answers.alone.length, 7);
    assert.deepEqual(
      answers.alone,
      reference.map(({ greedy }) => greedy),
    );
  });

  it('gives them to requests side by side too', () => {
    assert.deepEqual(answers.together, answers.alone);
  });

  it('is what --router webgpu asks for', async () => {
    assert.ok(answers.driver !== null);
    const env = { ...process.env, VK_ICD_FILENAMES: answers.driver, LD_LIBRARY_PATH: dirname(answers.driver) };
    const generate = (router: string): Promise<unknown> =>
      runProgram(BIN, ['generate', '--prompt', 'What is 17 + 25?', '--json', '--router', router], env);
    const [webgpu, cpu] = (await Promise.all([generate('webgpu'), generate('cpu')])) as Record<string, unknown>[];
    assert.deepEqual([webgpu?.['final'], webgpu?.['ids']], ['42', cpu?.['ids']]);
    assert.equal(Reflect.get(webgpu?.['router'] as object, 'backend'), 'webgpu');
    assert.equal(Reflect.get(cpu?.['router'] as object, 'backend'), 'cpu');
  });
});
