import assert from 'node:assert/strict';
import { createCpuGatedRouter } from '../../src/cpu/index.ts';
import { runGateSuite } from '../../src/suite/index.ts';

describe('the gate suite, quick level', function () {
  this.timeout(600_000);

  it('is passed by the CPU router', async () => {
    const result = await runGateSuite(async (config) => createCpuGatedRouter(config), { level: 'quick' });
    assert.deepEqual(result.failures, []);
  });
});
