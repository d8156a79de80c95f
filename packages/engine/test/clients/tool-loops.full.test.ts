import assert from 'node:assert/strict';
import type { RunningServer } from '../../src/server/start-server.ts';
import { startScriptedServer } from '../server/test-server.ts';
import { TOOL_LOOPS } from './tool-loops.ts';

const RUNS = 200;

describe(`whole tool loops, ${RUNS} of each`, () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  for (const { name, run } of TOOL_LOOPS) {
    it(`have no failed step through ${name}`, async () => {
      const failures: string[] = [];
      for (let attempt = 0; attempt < RUNS; attempt += 1) {
        await run(server).catch((error: unknown) => failures.push(String(error)));
      }
      assert.deepEqual(failures, []);
    }).timeout(600_000);
  }
});
