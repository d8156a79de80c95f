import assert from 'node:assert/strict';
import type { RunningServer } from '../../src/server/start-server.ts';
import { FUZZ_SEED } from '../fixtures/fuzz-seed.ts';
import { checkBodies } from './random-bodies.ts';
import { startScriptedServer } from './test-server.ts';

describe('many request bodies of every kind', () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  it('never crash the server, hang it, or give a 500', async () => {
    await checkBodies(server, { numRuns: 3000, ...FUZZ_SEED });
    assert.equal(server.state, 'ready');
  }).timeout(600_000);
});
