import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { RunningServer } from '../../src/server/start-server.ts';
import { FUZZ_SEED } from '../fixtures/fuzz-seed.ts';
import { checkBodies, GENERATING, PATHS } from './random-bodies.ts';
import { post, startScriptedServer } from './test-server.ts';

describe('request bodies of every kind', () => {
  let server: RunningServer;

  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  it('never crash the server, hang it, or give a 500', async () => {
    const { answered, refused } = await checkBodies(server, { numRuns: 1000, seed: 20_26, ...FUZZ_SEED });
    // Otherwise the test would say nothing of what comes after validation.
    for (const path of GENERATING) {
      assert.equal((answered.get(path) ?? 0) >= 30, true, `${path} answered ${answered.get(path) ?? 0}`);
      assert.equal((refused.get(path) ?? 0) >= 30, true, `${path} refused ${refused.get(path) ?? 0}`);
    }
    assert.equal(server.state, 'ready');
  });

  it('nor do bytes that are no JSON', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...PATHS), fc.uint8Array({ maxLength: 200 }), async (path, bytes) => {
        const response = await post(server, path, '', { body: bytes, signal: AbortSignal.timeout(10_000) });
        assert.equal(response.status, 400);
        await response.text();
      }),
      { numRuns: 60, seed: 7, ...FUZZ_SEED },
    );
  });
});
