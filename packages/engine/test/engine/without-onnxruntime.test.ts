import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { USABLE_LIBRARIES } from '../runners/native/usable-libraries.ts';

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** What loading a model into a runner comes to, where onnxruntime-node is not installed. */
async function loadInto(runner: string): Promise<unknown> {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [
    `--import=${new URL('../fixtures/without-onnxruntime.mjs', import.meta.url).href}`,
    file('./without-onnxruntime-process.mjs'),
    runner,
  ]);
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

describe('an installation without onnxruntime-node', () => {
  it('imports the package, and says with one command what to do where ONNX Runtime is to run a model', async () => {
    assert.deepEqual(await loadInto('onnxruntime'), {
      name: 'LoadError',
      code: 'RUNNER_LIBRARY_MISSING',
      message:
        "onnxruntime-node is needed to run models and does not load · found Cannot find package 'onnxruntime-node' · run: npm install --no-save --ignore-scripts onnxruntime-node@1.30.0",
    });
  });

  it('runs a model all the same where a native library fits', async function () {
    if (USABLE_LIBRARIES.length === 0) this.skip();
    assert.deepEqual(await loadInto('auto'), { code: null });
  });
});
