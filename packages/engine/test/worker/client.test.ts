import assert from 'node:assert/strict';
import { embeddedCheckpointPath } from '@switchyard/models';
import { DeliveryError } from '../../src/errors.ts';
import { type Logger, SILENT_LOGGER } from '../../src/logger.ts';
import { resolveEngineOptions } from '../../src/options.ts';
import { resolveSampling } from '../../src/prepare/resolve-sampling.ts';
import type { Job } from '../../src/scheduler/job.ts';
import type { JobListener } from '../../src/scheduler/job.ts';
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
        runner: { url: HANGING },
        device: undefined,
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

  describe('with a listener that throws', () => {
    const logged: string[] = [];
    let worker: WorkerClient;
    let next = 0;
    before(async () => {
      const logger: Logger = { ...SILENT_LOGGER, error: (message) => void logged.push(message) };
      worker = await WorkerClient.start({
        data: {
          path: embeddedCheckpointPath(),
          ...resolveEngineOptions({}),
          runner: { url: new URL('../fixtures/scripted-runner.ts', import.meta.url).href },
          device: undefined,
          runnerOptions: undefined,
        },
        logger,
        onProgress: () => undefined,
        signal: undefined,
      });
    });
    after(() => worker.dispose());
    beforeEach(() => logged.splice(0));

    const generate = (maxTokens: number, vocabularySize = 4096): Job => ({
      kind: 'generate',
      id: next++,
      prompt: Int32Array.of(1, 2, next),
      sampling: resolveSampling({}, vocabularySize, () => 0),
      maxTokens,
      stopTokenIds: [],
      logprobs: null,
      traceRouting: true,
      reusePrefix: false,
      reproducible: false,
      constraint: null,
      arrival: 0,
    });
    const score = (): Job => ({ kind: 'score', id: next++, prompt: Int32Array.of(1, 2, 3), arrival: 0 });

    /** Submits a job whose listener throws at the n-th call of one method, and gives back what it failed with. */
    const failing = (job: Job, method: keyof JobListener, nth = 1): Promise<Error[]> =>
      new Promise((resolve) => {
        const failures: Error[] = [];
        let calls = 0;
        const called = (name: keyof JobListener) => (): void => {
          calls += name === method ? 1 : 0;
          if (name === method && calls === nth) throw new Error(`${name} ${nth}`);
        };
        worker.submit(job, {
          queued: called('queued'),
          token: called('token'),
          routing: called('routing'),
          finished: called('finished'),
          scored: called('scored'),
          failed: (error) => {
            failures.push(error);
            // Whatever else came would come within this time.
            setTimeout(() => resolve(failures), 50);
            called('failed')();
          },
        });
      });

    /** The tokens that a job with a good listener gets. */
    const complete = (job: Job): Promise<number> =>
      new Promise((resolve, reject) => {
        let tokens = 0;
        const nothing = (): void => undefined;
        worker.submit(job, {
          queued: nothing,
          routing: nothing,
          token: () => {
            tokens += 1;
          },
          finished: () => resolve(tokens),
          scored: nothing,
          failed: reject,
        });
      });

    const cases = [
      ['queued', 1],
      ['token', 1],
      ['token', 3],
      ['routing', 2],
      ['finished', 1],
    ] as const;
    for (const [method, nth] of cases) {
      it(`at call ${nth} of ${method}, fails that job once and no other`, async () => {
        const [failures, tokens] = await Promise.all([failing(generate(5), method, nth), complete(generate(20))]);
        assert.equal(failures.length, 1);
        assert.ok(failures[0] instanceof DeliveryError);
        assert.match(failures[0].message, new RegExp(`${method} ${nth}`));
        assert.equal(tokens, 20);
        assert.deepEqual(logged, ['an answer could not be delivered']);
        const { stats } = await worker.report();
        assert.deepEqual([stats.running, stats.waiting], [0, 0]);
      });
    }

    it('at the score, fails that job once', async () => {
      const failures = await failing(score(), 'scored');
      assert.deepEqual([failures.length, failures[0] instanceof DeliveryError], [1, true]);
    });

    it('even when it is told that it failed, and when everything ends', async () => {
      const open = failing(generate(1_000_000), 'failed');
      const other = assert.rejects(complete(generate(1_000_000)), { code: 'DISPOSED' });
      await worker.dispose();
      await other;
      assert.equal(await worker.closed, null);
      assert.equal((await open).length, 2);
    });
  });
});
