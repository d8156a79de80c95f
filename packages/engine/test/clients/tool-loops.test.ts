import type { RunningServer } from '../../src/server/start-server.ts';
import { startScriptedServer } from '../server/test-server.ts';
import { TOOL_LOOPS } from './tool-loops.ts';

describe('whole tool loops', () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  for (const { name, run } of TOOL_LOOPS) it(`work through ${name}`, () => run(server, true));
});
