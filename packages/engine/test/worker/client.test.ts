import assert from 'node:assert/strict';
import { embeddedCheckpointPath } from '@switchyard/models';
import { SILENT_LOGGER } from '../../src/logger.ts';
import { resolveEngineOptions } from '../../src/options.ts';
import { resolveSampling } from '../../src/sampling/parameters.ts';
import { WorkerClient } from '../../src/worker/client.ts';

/** A runner whose steps never end. */
const HANGING = `data:text/javascript,
export const createRunner = async ({ snapshot: { config } }) => ({
  name: 'hanging',
  vocabularySize: config.vocabularySize,
  contextLength: 100,
  memory: { weightBytes: 0, kvBytesPerToken: 1, kvBytes: (tokens) => tokens },
  router: { backend: 'cpu', device: 'none' },
  timings: {},
  createSequence: () => 0,
  releaseSequence: () => {},
  forward: () => new Promise(() => {}),
});`;

describe('WorkerClient', () => {
  it('ends a thread that hangs in a step, and tells the request', async () => {
    const worker = await WorkerClient.start({
      data: {
        path: embeddedCheckpointPath(),
        ...resolveEngineOptions({}),
        runnerModule: HANGING,
        runnerOptions: undefined,
      },
      logger: SILENT_LOGGER,
      onProgress: () => undefined,
      signal: undefined,
    });
    const failed = new Promise<Error>((resolve) => {
      const nothing = (): void => undefined;
      worker.submit(
        {
          kind: 'generate',
          id: 0,
          prompt: Int32Array.of(1, 2, 3),
          sampling: resolveSampling({}, 4096, () => 0),
          maxTokens: 1,
          stopTokenIds: [],
          logprobs: null,
          traceRouting: false,
          reusePrefix: false,
          reproducible: false,
          constraint: null,
          arrival: 0,
        },
        { queued: nothing, token: nothing, routing: nothing, finished: nothing, scored: nothing, failed: resolve },
      );
    });
    await worker.dispose(100);
    assert.equal(await worker.closed, null);
    assert.equal(((await failed) as { code?: string }).code, 'DISPOSED');
  });
});
