import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

describe('an installation without onnxruntime-node', () => {
  it('imports the package, and says with one command what to do where a model is to be run', async () => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [
      `--import=${new URL('../fixtures/without-onnxruntime.mjs', import.meta.url).href}`,
      file('./without-onnxruntime-process.mjs'),
    ]);
    assert.equal(stderr, '');
    assert.deepEqual(JSON.parse(stdout), {
      name: 'LoadError',
      code: 'RUNNER_LIBRARY_MISSING',
      message:
        "onnxruntime-node is needed to run models and does not load · found Cannot find package 'onnxruntime-node' · run: npm install --no-save --ignore-scripts onnxruntime-node@1.30.0",
    });
  });
});
