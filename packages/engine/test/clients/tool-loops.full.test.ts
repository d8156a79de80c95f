import assert from 'node:assert/strict';
import type { RunningServer } from '../../src/server/start-server.ts';
import { startScriptedServer } from '../server/test-server.ts';
import { TOOL_LOOPS } from './tool-loops.ts';

const RUNS = 200;
const AT_ONCE = 8;

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
      const several = async (): Promise<void> => {
        for (let attempt = 0; attempt < RUNS / AT_ONCE; attempt += 1) {
          await run(server, false).catch((error: unknown) => failures.push(String(error)));
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, several));
      assert.deepEqual(failures, []);
    }).timeout(600_000);
  }
});
