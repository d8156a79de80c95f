import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./exit-process.ts', import.meta.url));

describe('process.exit()', () => {
  // ONNX Runtime's binding would abort the process (SIGABRT), most of the time, where a step is cut off.
  for (const when of ['load', 'generate', 'score']) {
    it(`in the middle of ${when} gives the exit code that was asked for, and no noise`, async () => {
      for (const steps of [1, 4, 7]) {
        const child = spawn(process.execPath, [PROGRAM, when, String(steps)]);
        let noise = '';
        child.stderr.on('data', (data: Buffer) => {
          noise += data.toString();
        });
        assert.deepEqual([...(await once(child, 'close')), noise], [5, null, '']);
      }
    });
  }
});
