import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock } from 'node:test';
import { embeddedCheckpointPath, openSnapshot } from '@switchyard/models';
import { Engine } from '../../src/engine.ts';
import { InsufficientMemoryError } from '../../src/errors.ts';
import { LoadReporter } from '../../src/loading/load-reporter.ts';
import { SILENT_LOGGER } from '../../src/logger.ts';
import { inspectMemory } from '../../src/memory/memory-report.ts';
import type { LoadProgress } from '../../src/options.ts';
import { planOrtMemory } from '../../src/runners/ort/plan-memory.ts';
import { RUNNERS } from '../../src/runners/runner-table.ts';
import { layerStep, letGo, type LoadingScript } from '../fixtures/loading-runner.ts';
import { CAN_MAKE_HOLES, limitBetweenPrecisions, writeSparseCheckpoint } from '../fixtures/sparse-checkpoint.ts';

const runnerModule = new URL('../fixtures/loading-runner.ts', import.meta.url);
const MIB = 2 ** 20;

describe('the progress of Engine.load', () => {
  it('has bytes, seconds and what is being loaded, as the runner tells them', async () => {
    const told: LoadProgress[] = [];
    const runnerOptions: LoadingScript = { steps: [layerStep(1, 2), layerStep(2, 2)] };
    await using engine = await Engine.load(undefined, {
      runnerModule,
      runnerOptions,
      onProgress: (progress) => told.push(progress),
    });
    const { tensorBytes } = await openSnapshot(engine.path, { encoder: 'when-needed' });
    assert.deepEqual(
      told.map(({ phase, what, doneBytes, totalBytes }) => [phase, what, doneBytes, totalBytes]),
      [
        ['checkpoint', 'checkpoint', 0, 0],
        ['model', 'model', 0, tensorBytes],
        ['model', 'layer 1 of 2', 1000, 2000],
        ['model', 'layer 2 of 2', 2000, 2000],
        ['ready', 'ready', 2000, 2000],
      ],
    );
    assert.deepEqual(
      told.map(({ readSeconds, convertSeconds, sessionSeconds }) => [readSeconds, convertSeconds, sessionSeconds]),
      [
        [0, 0, 0],
        [0, 0, 0],
        [0.01, 0.02, 0.03],
        [0.02, 0.04, 0.06],
        [0.02, 0.04, 0.06],
      ],
    );
    const seconds = told.map((progress) => progress.seconds);
    assert.deepEqual(
      seconds,
      seconds.toSorted((a, b) => a - b),
    );
    assert.ok((seconds.at(-1) ?? 0) > 0);
  });

  it('is in bytes of the checkpoint where a runner tells parts of the whole', async () => {
    const told: LoadProgress[] = [];
    await using engine = await Engine.load(undefined, {
      runnerModule,
      runnerOptions: { steps: [0.5] } satisfies LoadingScript,
      onProgress: (progress) => told.push(progress),
    });
    const half = told[2];
    assert.deepEqual([half?.what, half?.doneBytes], ['model', Math.round((half?.totalBytes ?? 0) / 2)]);
    assert.equal(half?.fraction, 0.55);
    assert.equal(engine.model.runner, 'scripted');
  });

  it('goes to the log about every five seconds, and at the end with where the time went', () => {
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      const lines: [string, Readonly<Record<string, unknown>> | undefined][] = [];
      const logger = { ...SILENT_LOGGER, info: (...line: (typeof lines)[number]) => lines.push(line) };
      const reporter = new LoadReporter(undefined, logger);
      reporter.opening();
      reporter.opened(3000);
      reporter.loading(layerStep(1, 3));
      mock.timers.tick(4999);
      assert.equal(lines.length, 0);
      mock.timers.tick(5001);
      reporter.loading(layerStep(2, 3));
      mock.timers.tick(5000);
      assert.deepEqual(
        lines.map(([message, fields]) => [
          message,
          fields?.['what'],
          fields?.['doneBytes'],
          fields?.['sessionSeconds'],
        ]),
        [
          ['loading', 'layer 1 of 3', 1000, 0.03],
          ['loading', 'layer 1 of 3', 1000, 0.03],
          ['loading', 'layer 2 of 3', 2000, 0.06],
        ],
      );
      reporter[Symbol.dispose]();
      mock.timers.tick(60_000);
      assert.equal(lines.length, 3);
    } finally {
      mock.timers.reset();
    }
  });
});

describe('the signal of Engine.load', () => {
  it('ends it at once while the thread is deep in a conversion', async () => {
    const release = new SharedArrayBuffer(4);
    const abort = new AbortController();
    // The thread goes on when it is let go, and not before: a load that waited for it would never end.
    const loading = Engine.load(undefined, {
      runnerModule,
      runnerOptions: { steps: [layerStep(1, 2)], release } satisfies LoadingScript,
      signal: abort.signal,
      onProgress: ({ what }) => {
        if (what === 'layer 1 of 2') abort.abort(new Error('enough'));
      },
    });
    await assert.rejects(loading, (error: Error & { code?: string }) => {
      assert.deepEqual([error.code, (error.cause as Error).message], ['ABORTED', 'enough']);
      return true;
    });
    letGo(release);
  });

  it('ends it while the checkpoint is opened, before the thread is there', async () => {
    const abort = new AbortController();
    const phases: string[] = [];
    const loading = Engine.load(undefined, {
      runnerModule: new URL('file:///nowhere/no-runner.ts'),
      signal: abort.signal,
      onProgress: ({ phase }) => {
        phases.push(phase);
        abort.abort();
      },
    });
    await assert.rejects(loading, { code: 'ABORTED' });
    assert.deepEqual(phases, ['checkpoint']);
  });
});

describe('the memory of Engine.load', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'switchyard-sparse-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('is what the options say: more is refused with the numbers, and the KV cache gets what is left', async () => {
    const runner = 'onnxruntime';
    await assert.rejects(Engine.load(undefined, { runner, memoryLimitBytes: 16 * MIB }), (error) => {
      assert.ok(error instanceof InsufficientMemoryError);
      assert.equal(error.limitBytes, 16 * MIB);
      assert.ok(error.demand.requiredBytes > 16 * MIB);
      return true;
    });
    await using engine = await Engine.load(undefined, { runner, router: 'cpu', memoryLimitBytes: 256 * MIB });
    const { config } = await openSnapshot(undefined, { encoder: 'when-needed' });
    const { weightBytes, workspaceBytes } = planOrtMemory(config);
    assert.equal(engine.model.plan.budgetBytes, Math.floor((256 * MIB - weightBytes - workspaceBytes) / 1.5));
    await using asked = await Engine.load(undefined, {
      runner,
      router: 'cpu',
      memoryLimitBytes: 256 * MIB,
      kvCacheBytes: 5 * MIB,
    });
    assert.equal(asked.model.plan.budgetBytes, 5 * MIB);
    await assert.rejects(Engine.load(undefined, { runner, memoryLimitBytes: 256 * MIB, kvCacheBytes: 256 * MIB }), {
      code: 'INSUFFICIENT_MEMORY',
      message: /a KV cache of at most \d+ MB would fit/,
    });
  });

  it('refuses the shape of gpt-oss-20b with exact experts on 24 GB and less, before a weight is read, and says whether int4 fits', async function () {
    if (!CAN_MAKE_HOLES) this.skip();
    const config = await writeSparseCheckpoint(folder);
    const { size, blocks } = await stat(join(folder, 'model.safetensors'));
    assert.ok(size > 13e9 && blocks * 512 < 1e6, `${size} bytes in ${blocks} blocks`);
    const limit = Math.min(24e9, limitBetweenPrecisions(config));
    for (const [memoryLimitBytes, int4Fits] of [
      [limit, limit === limitBetweenPrecisions(config)],
      [13e9, false],
    ] as const) {
      const phases = new Set<string>();
      const runner = 'onnxruntime';
      const loading = Engine.load(folder, { runner, memoryLimitBytes, onProgress: ({ phase }) => phases.add(phase) });
      await assert.rejects(loading, (error) => {
        assert.ok(error instanceof InsufficientMemoryError);
        assert.equal(error.demand.precision, 'exact');
        assert.ok(error.demand.requiredBytes > 24e9);
        const [int4, ...others] = error.alternatives;
        assert.deepEqual([int4?.precision, others.length], ['int4', 0]);
        if (int4Fits || memoryLimitBytes === 13e9) assert.equal(int4?.fits, int4Fits);
        assert.match(
          error.message,
          /takes \d\d\.\d GB with exact experts where it may take \d\d\.\d GB · .*--expert-precision int4/,
        );
        return true;
      });
      assert.deepEqual([...phases], ['checkpoint']);
    }
  });

  it('is planned from headers alone', async function () {
    if (!CAN_MAKE_HOLES) this.skip();
    const config = await writeSparseCheckpoint(folder);
    const map = (): never => assert.fail('a weight was read');
    using snapshot = await openSnapshot(folder, { encoder: 'when-needed', map });
    assert.throws(() => snapshot.weights.finalNorm.bytes, /a weight was read/);
    const allowance = { process: null, reserveBytes: 0, limitBytes: limitBetweenPrecisions(config) };
    const limits = { maxSequences: 64, prefillChunk: 256, maxCachedPrefixes: 64 };
    const report = inspectMemory(snapshot.config, allowance, {
      runner: RUNNERS.onnxruntime,
      expertPrecision: 'int4',
      activations: 'bf16',
      limits,
      kvCacheBytes: undefined,
    });
    assert.deepEqual(
      report.precisions.map(({ precision, fits, kv }) => [precision, fits, kv === null]),
      [
        ['exact', false, true],
        ['int4', true, false],
      ],
    );
    const int4 = report.precisions[1];
    assert.ok((int4?.kv?.longestSequence ?? 0) >= 4096 && report.longestSequence === int4?.kv?.longestSequence);
  });

  it('does not judge a runner that tells no plan', async () => {
    await using engine = await Engine.load(embeddedCheckpointPath(), {
      runnerModule,
      runnerOptions: { steps: [] } satisfies LoadingScript,
      memoryLimitBytes: MIB,
    });
    assert.equal(engine.model.plan.budgetBytes, 64 * MIB);
  });
});
