import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import type { TokenConstraint } from '../../src/constraint/token-constraint.ts';
import { QueueFullError } from '../../src/errors.ts';
import { DEFAULT_SAMPLING } from '../../src/sampling/parameters.ts';
import type { FinishReport, GenerateJob } from '../../src/scheduler/job.ts';
import { takeTurns } from '../../src/scheduler/prefill-turns.ts';
import type { SchedulerLimits } from '../../src/scheduler/limits.ts';
import { Scheduler } from '../../src/scheduler/scheduler.ts';
import { sampledOnHost } from '../../src/runners/sampled-on-host.ts';
import { ScriptedRunner, type ScriptedOptions } from '../fixtures/scripted-runner.ts';

/** 1000 in the full level. */
const TRIALS = process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? 1000 : 60;

const LIMITS: SchedulerLimits = {
  maxSequences: 8,
  maxQueue: 8,
  prefillChunk: 16,
  kvCacheBytes: 4096,
  maxCachedPrefixes: 4,
};

function job(id: number, prompt: readonly number[], options: Partial<GenerateJob> = {}): GenerateJob {
  const sampling = { ...DEFAULT_SAMPLING, temperature: 1, seed: id, logitBias: [] };
  return {
    kind: 'generate',
    id,
    prompt: Int32Array.from(prompt),
    sampling,
    maxTokens: 6,
    stopTokenIds: [],
    logprobs: null,
    traceRouting: false,
    reusePrefix: true,
    reproducible: false,
    constraint: null,
    arrival: 0,
    ...options,
  };
}

function create(
  limits: Partial<SchedulerLimits> = {},
  options: ScriptedOptions = {},
  overlapsSteps = false,
): { runner: ScriptedRunner; scheduler: Scheduler } {
  const runner = new ScriptedRunner(options);
  let time = 0;
  const scheduler = new Scheduler({
    ...LIMITS,
    ...limits,
    runner: sampledOnHost(runner, { routing: { layers: 1, experts: 2, topK: 1 }, overlapsSteps }),
    now: () => time++,
  });
  return { runner, scheduler };
}

async function finish(
  scheduler: Scheduler,
): Promise<{ answers: Map<number, number[]>; finished: FinishReport[]; failed: number[] }> {
  const answers = new Map<number, number[]>();
  const finished: FinishReport[] = [];
  const failed: number[] = [];
  for (let step = 0; scheduler.hasWork; step++) {
    assert.ok(step < 10_000, 'the scheduler does not come to an end');
    const report = await scheduler.step();
    for (const { id, token } of report.tokens) answers.set(id, [...(answers.get(id) ?? []), token]);
    finished.push(...report.finished);
    failed.push(...report.failed.map(({ id }) => id));
  }
  return { answers, finished, failed };
}

const range = (length: number, from = 0): number[] => Array.from({ length }, (_, i) => (from + i) % 50);

describe('Scheduler', () => {
  it('gives each job the same tokens alone, in a batch, in chunks and after preemption', async () => {
    const shape = fc.record({
      prompts: fc.array(fc.array(fc.nat(49), { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 6 }),
      prefillChunk: fc.integer({ min: 1, max: 20 }),
      maxSequences: fc.integer({ min: 1, max: 4 }),
      kvCacheBytes: fc.integer({ min: 64, max: 300 }),
      reproducible: fc.boolean(),
      overlapsSteps: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(shape, async ({ prompts, reproducible, overlapsSteps, ...limits }) => {
        const { scheduler } = create(limits, {}, overlapsSteps);
        for (const [id, prompt] of prompts.entries()) scheduler.add(job(id, prompt, { reproducible }));
        const { answers } = await finish(scheduler);
        for (const [id, prompt] of prompts.entries()) {
          const alone = create({ maxCachedPrefixes: 0 });
          alone.scheduler.add(job(id, prompt));
          assert.deepEqual(answers.get(id), (await finish(alone.scheduler)).answers.get(id));
        }
      }),
      { numRuns: TRIALS },
    );
  });

  it('asks for no row of logits, whatever is asked of it', async () => {
    const scripted = new ScriptedRunner();
    const runner = sampledOnHost(scripted, { routing: { layers: 1, experts: 2, topK: 1 } });
    let bytes = 0;
    let outputs = 0;
    const submit = runner.submit.bind(runner);
    runner.submit = (batch) => {
      const step = submit(batch);
      const counted = step.outputs.then((found) => {
        for (const { logits } of found) bytes += logits.byteLength;
        outputs += found.length;
        return found;
      });
      return { outputs: counted };
    };
    const scheduler = new Scheduler({ ...LIMITS, runner });
    scheduler.add(job(0, range(20)));
    scheduler.add(job(1, range(9), { logprobs: 5 }));
    scheduler.add(job(2, range(12), { traceRouting: true }));
    scheduler.add(job(3, range(30), { reproducible: true }));
    scheduler.add({ kind: 'score', id: 4, prompt: Int32Array.from(range(40)), arrival: 0 });
    const { finished, failed } = await finish(scheduler);
    assert.deepEqual([finished.length, failed], [4, []]);
    assert.ok(outputs > 20, `only ${outputs} outputs`);
    assert.equal(bytes, 0);
  });

  it('never hands out more KV memory than there is', async () => {
    const { scheduler } = create({ kvCacheBytes: 96 });
    for (let id = 0; id < 4; id++) scheduler.add(job(id, range(20, id * 7), { maxTokens: 30 }));
    while (scheduler.hasWork) {
      await scheduler.step();
      assert.ok(scheduler.stats.kvBytesUsed <= 96);
    }
    assert.ok(scheduler.stats.preemptions > 0);
  });

  it('computes at most a chunk of prompt tokens a step while answers go on', async () => {
    const { runner, scheduler } = create();
    scheduler.add(job(0, [1], { maxTokens: 20 }));
    await scheduler.step();
    scheduler.add(job(1, range(60), { maxTokens: 1 }));
    const { answers } = await finish(scheduler);
    for (const batch of runner.batches) assert.ok(batch.reduce((sum, { tokens }) => sum + tokens.length, 0) <= 16 + 1);
    assert.equal(answers.get(0)?.length, 19);
    assert.deepEqual(
      runner.batches[1]?.map(({ tokens }) => tokens.length),
      [1, 16],
    );
  });

  it('lets a short prompt start beside a long one that came before, and the long one go on beside short ones', async () => {
    const { scheduler } = create({ maxQueue: 1000, maxCachedPrefixes: 0, kvCacheBytes: 2 ** 20 });
    scheduler.add(job(0, range(160), { maxTokens: 1 }));
    await scheduler.step();
    const firstToken = new Map<number, number>();
    for (let step = 1; !firstToken.has(0); step++) {
      assert.ok(step < 100, 'the long prompt starves');
      // One of these and a piece of the long one are more than a step takes: they take turns.
      if (step % 2 === 1) scheduler.add(job(step, range(12, step), { maxTokens: 1 }));
      for (const { id } of (await scheduler.step()).tokens) firstToken.set(id, step);
    }
    for (const [id, step] of firstToken) if (id > 0) assert.ok(step - id <= 1, `${id} waited ${step - id} steps`);
    assert.ok(firstToken.size > 5);
    assert.ok((firstToken.get(0) ?? 100) <= 20);
  });

  it('cuts prompts at multiples of the chunk, whatever else is there', async () => {
    const { runner, scheduler } = create({ kvCacheBytes: 2 ** 20, maxCachedPrefixes: 0 });
    const lengths = [40, 5, 33, 16, 17];
    for (const [id, length] of lengths.entries()) scheduler.add(job(id, range(length, id * 9), { maxTokens: 3 }));
    await finish(scheduler);
    const pieces = new Map<number, number[]>();
    for (const batch of runner.batches)
      for (const { sequence, tokens } of batch) pieces.set(sequence, [...(pieces.get(sequence) ?? []), tokens.length]);
    assert.deepEqual(
      [...pieces.values()],
      [
        [16, 16, 8, 1, 1],
        [5, 1, 1],
        [16, 16, 1, 1, 1],
        [16, 1, 1],
        [16, 1, 1, 1],
      ],
    );
  });

  it('takes whole pieces of a prompt together where nobody waits for a token, and its end by itself', async () => {
    const pieces = (batches: ScriptedRunner['batches'], sequence: number): number[] =>
      batches.flatMap((batch) => batch.filter((part) => part.sequence === sequence)).map(({ tokens }) => tokens.length);
    const { runner, scheduler } = create({ kvCacheBytes: 2 ** 20, maxCachedPrefixes: 0 }, { piecesTogether: 3 });
    scheduler.add(job(0, range(16 * 7 + 5), { maxTokens: 2 }));
    await finish(scheduler);
    assert.deepEqual(pieces(runner.batches, 0), [48, 48, 16, 5, 1]);

    // Beside another prompt as many as there is room for, beside an answer one by one.
    const beside = create({ kvCacheBytes: 2 ** 20, maxCachedPrefixes: 0 }, { piecesTogether: 3 });
    beside.scheduler.add(job(0, range(5), { maxTokens: 3 }));
    beside.scheduler.add(job(1, range(16 * 7 + 5), { maxTokens: 2 }));
    await finish(beside.scheduler);
    assert.deepEqual(pieces(beside.runner.batches, 1), [32, 16, 16, 48, 5, 1]);
  });

  it('takes parts of a piece beside answers, and says what they are parts of', async () => {
    const { runner, scheduler } = create({ kvCacheBytes: 2 ** 20, maxCachedPrefixes: 0 }, { partOfPiece: 6 });
    scheduler.add(job(0, range(5), { maxTokens: 6 }));
    await scheduler.step();
    scheduler.add(job(1, range(16 + 9, 30), { maxTokens: 2 }));
    // Fits beside no part, and has its turn all the same.
    scheduler.add(job(2, range(6, 70), { maxTokens: 2 }));
    await finish(scheduler);
    assert.deepEqual(runner.parts.get(0)?.[0], [5, undefined]);
    const ofLong = runner.parts.get(1) ?? [];
    assert.deepEqual(ofLong.slice(0, 3), [
      [6, 16],
      [6, 16],
      [4, 16],
    ]);
    // The answer beside it has ended meanwhile: the rest of the prompt comes whole.
    const rest = ofLong.slice(3).filter(([tokens]) => tokens > 1);
    assert.equal(
      rest.reduce((sum, [tokens]) => sum + tokens, 0),
      9,
    );
    assert.ok(rest.every(([tokens, piece = tokens]) => piece === 9));
    assert.deepEqual(runner.parts.get(2)?.[0], [6, undefined]);
    for (const batch of runner.batches.slice(1)) {
      const isBeside = batch.some(({ sequence, tokens }) => sequence === 0 && tokens.length === 1);
      const ofPrompts = batch.filter(({ tokens }) => tokens.length > 1);
      if (isBeside) assert.ok(ofPrompts.length <= 1);
    }
  });

  it('starts jobs in the order they came and refuses the one too many', async () => {
    const { scheduler } = create({ maxSequences: 1, maxQueue: 2 });
    for (let id = 0; id < 3; id++) scheduler.add(job(id, [id], { maxTokens: 2 }));
    assert.throws(() => scheduler.add(job(3, [1])), QueueFullError);
    const { finished } = await finish(scheduler);
    assert.deepEqual(
      finished.map(({ id }) => id),
      [0, 1, 2],
    );
  });

  it('cancels at the next step and frees what the job held', async () => {
    const { runner, scheduler } = create({ maxCachedPrefixes: 0 });
    scheduler.add(job(0, [1, 2], { maxTokens: 100 }));
    scheduler.add(job(1, [3], { maxTokens: 2 }));
    await scheduler.step();
    scheduler.cancel(0);
    scheduler.cancel(99);
    const { answers } = await finish(scheduler);
    assert.equal(answers.has(0), false);
    assert.equal(scheduler.stats.kvBytesUsed, 0);
    assert.equal(runner.live.size, 0);
  });

  it('gives paused jobs the same tokens as others, once they go on', async () => {
    const shape = fc.record({
      prompts: fc.array(fc.array(fc.nat(49), { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 6 }),
      maxSequences: fc.integer({ min: 1, max: 4 }),
      kvCacheBytes: fc.integer({ min: 64, max: 200 }),
      pauses: fc.array(fc.tuple(fc.nat(5), fc.boolean()), { maxLength: 40 }),
    });
    await fc.assert(
      fc.asyncProperty(shape, async ({ prompts, pauses, ...limits }) => {
        const { scheduler } = create(limits);
        for (const [id, prompt] of prompts.entries()) scheduler.add(job(id, prompt));
        const answers = new Map<number, number[]>();
        const step = async (): Promise<void> => {
          for (const { id, token } of (await scheduler.step()).tokens)
            answers.set(id, [...(answers.get(id) ?? []), token]);
        };
        for (const [id, paused] of pauses) {
          scheduler.pause(id, paused);
          const before = answers.get(id)?.length;
          await step();
          if (paused) assert.equal(answers.get(id)?.length, before);
        }
        for (const id of prompts.keys()) scheduler.pause(id, false);
        for (let count = 0; scheduler.hasWork; count++) {
          assert.ok(count < 1000, 'the scheduler does not come to an end');
          await step();
        }
        for (const [id, prompt] of prompts.entries()) {
          const alone = create({ maxCachedPrefixes: 0 });
          alone.scheduler.add(job(id, prompt));
          assert.deepEqual(answers.get(id), (await finish(alone.scheduler)).answers.get(id));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('lets waiting jobs have the place and the memory of a paused one, and has no work while all are paused', async () => {
    for (const limits of [{ maxSequences: 1 }, { kvCacheBytes: 32 }]) {
      const { scheduler } = create({ maxCachedPrefixes: 0, ...limits });
      scheduler.add(job(0, range(10), { maxTokens: 12 }));
      await scheduler.step();
      scheduler.pause(0, true);
      assert.equal(scheduler.hasWork, false);
      scheduler.add(job(1, range(12, 7)));
      assert.equal((await finish(scheduler)).answers.get(1)?.length, 6);
      scheduler.pause(0, false);
      assert.equal((await finish(scheduler)).answers.get(0)?.length, 11);
      scheduler.add(job(2, [1]));
      scheduler.pause(2, true);
      scheduler.cancel(2);
      await finish(scheduler);
      assert.equal(scheduler.stats.kvBytesUsed, 0);
    }
  });

  describe('with constraints that take their time', () => {
    /** Allows every token, and lets the test say when. */
    class SlowConstraint implements TokenConstraint {
      ready: Promise<void> = Promise.resolve();
      let: () => void = () => undefined;
      fail: (error: Error) => void = () => undefined;
      mask(): null {
        return null;
      }
      accept(): void {
        this.ready = new Promise((resolve, reject) => {
          this.let = resolve;
          this.fail = reject;
        });
        this.ready.catch(() => undefined);
      }
      [Symbol.dispose](): void {}
    }

    const createConstrained = (): { scheduler: Scheduler; constraint: SlowConstraint } => {
      const constraint = new SlowConstraint();
      const scheduler = new Scheduler({
        ...LIMITS,
        runner: sampledOnHost(new ScriptedRunner(), { routing: { layers: 1, experts: 2, topK: 1 } }),
        createConstraint: (specification) => (specification === null ? null : constraint),
      });
      return { scheduler, constraint };
    };
    const tokensOf = async (scheduler: Scheduler): Promise<number[]> =>
      (await scheduler.step()).tokens.map(({ id }) => id);
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

    it('leaves their jobs out and goes on with others', async () => {
      const { scheduler, constraint } = createConstrained();
      scheduler.add(job(0, [1], { constraint: 'any', maxTokens: 3 }));
      scheduler.add(job(1, [2], { maxTokens: 4 }));
      await turn();
      assert.deepEqual(await tokensOf(scheduler), [0, 1]);
      assert.deepEqual(await tokensOf(scheduler), [1]);
      assert.deepEqual(await tokensOf(scheduler), [1]);
      constraint.let();
      await turn();
      assert.deepEqual(await tokensOf(scheduler), [0, 1]);
    });

    it('waits where there is nothing else, until one is ready, a job comes, or it is woken', async () => {
      const { scheduler, constraint } = createConstrained();
      scheduler.add(job(0, [1], { constraint: 'any', maxTokens: 3 }));
      await turn();
      assert.deepEqual(await tokensOf(scheduler), [0]);
      for (const change of [
        () => scheduler.add(job(1, [2], { maxTokens: 1 })),
        () => scheduler.wake(),
        () => scheduler.cancel(99),
        () => constraint.let(),
      ]) {
        let over = false;
        const step = tokensOf(scheduler).finally(() => {
          over = true;
        });
        await turn();
        assert.equal(over, false);
        change();
        assert.deepEqual(await step, []);
        if (change.toString().includes('add')) assert.deepEqual(await tokensOf(scheduler), [1]);
      }
      assert.deepEqual(await tokensOf(scheduler), [0]);
      constraint.fail(new Error('the grammar is gone'));
      await turn();
      assert.deepEqual(
        (await scheduler.step()).failed.map(({ id }) => id),
        [0],
      );
    });
  });

  it('keeps places in the queue for jobs that are being prepared', () => {
    const { scheduler } = create({ maxSequences: 1, maxQueue: 2 });
    scheduler.keepPlace();
    scheduler.keepPlace();
    scheduler.add(job(0, [1]));
    assert.equal(scheduler.stats.waiting, 3);
    assert.throws(() => scheduler.keepPlace(), QueueFullError);
    assert.throws(() => scheduler.add(job(1, [1])), QueueFullError);
    scheduler.givePlaceBack();
    scheduler.add(job(1, [1]));
    assert.throws(() => scheduler.add(job(2, [1])), QueueFullError);
  });

  it('reuses the beginning of an earlier turn', async () => {
    const { runner, scheduler } = create();
    scheduler.add(job(0, range(30)));
    await finish(scheduler);
    const before = runner.batches.length;
    scheduler.add(job(1, [...range(30), 7, 7, 7]));
    const { finished } = await finish(scheduler);
    assert.equal(finished[0]?.cachedTokens, 30);
    // Cut at 32, a multiple of the chunk.
    assert.deepEqual(
      runner.batches.slice(before, before + 2).map((batch) => batch[0]?.tokens.length),
      [2, 1],
    );
    assert.equal(scheduler.stats.prefixCacheHits, 30);
  });

  it('ends at stop tokens, at maxTokens and at the context', async () => {
    const { scheduler } = create({}, { scripts: [[5, 6, 7]], contextLength: 8 });
    scheduler.add(job(0, [1], { stopTokenIds: [6] }));
    scheduler.add(job(1, [2], { maxTokens: 1 }));
    scheduler.add(job(2, range(6), { maxTokens: 100 }));
    const { finished } = await finish(scheduler);
    const ends = new Map(finished.map(({ id, finishReason, stopToken }) => [id, [finishReason, stopToken]]));
    assert.deepEqual(
      ends,
      new Map([
        [0, ['stop', 6]],
        [1, ['length', null]],
        [2, ['length', null]],
      ] as const),
    );
  });

  it('fails the jobs of a failed step and goes on with others', async () => {
    const { runner, scheduler } = create({}, { failAtStep: 0 });
    scheduler.add(job(0, [1]));
    assert.deepEqual((await finish(scheduler)).failed, [0]);
    assert.equal(runner.live.size, 0);
    scheduler.add(job(1, [1]));
    assert.equal((await finish(scheduler)).answers.get(1)?.length, 6);
  });

  it('scores every token but the first', async () => {
    const { runner, scheduler } = create();
    const prompt = range(40, 3);
    scheduler.add({ kind: 'score', id: 0, prompt: Int32Array.from(prompt), arrival: 0 });
    scheduler.add({ kind: 'score', id: 1, prompt: Int32Array.of(4), arrival: 0 });
    const scores = new Map<number, Float64Array>();
    while (scheduler.hasWork) for (const { id, logprobs } of (await scheduler.step()).scored) scores.set(id, logprobs);
    assert.equal(scores.get(1)?.length, 0);
    prompt.slice(1).forEach((token, i) => {
      const logits = runner.hashLogits(prompt.slice(0, i + 1));
      const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
      assert.ok(Math.abs((scores.get(0)?.[i] ?? 0) - ((logits[token] ?? 0) - Math.log(sum))) < 1e-9);
    });
  });
});

describe('takeTurns', () => {
  it('serves who has waited longest, whoever fits beside, and everyone within as many steps as there are prompts', () => {
    assert.deepEqual(takeTurns([], 16), []);
    assert.deepEqual(takeTurns([{ size: 16, since: 3 }], 16), [{ index: 0, size: 16 }]);
    // A long prompt that has had its turn lets a short one that came later go first.
    assert.deepEqual(
      takeTurns(
        [
          { size: 16, since: 5 },
          { size: 4, since: 4 },
        ],
        16,
      ),
      [{ index: 1, size: 4 }],
    );
    // Of several pieces, as many as there is room for beside those who waited longer.
    assert.deepEqual(
      takeTurns(
        [
          { size: 24, piece: 8, since: 2 },
          { size: 5, since: 1 },
        ],
        24,
      ),
      [
        { index: 1, size: 5 },
        { index: 0, size: 16 },
      ],
    );
    // Tokens that cost more leave less of the budget.
    const dear = [
      { size: 3, since: 0, cost: 4 },
      { size: 3, since: 1 },
      { size: 8, piece: 2, since: 2, cost: 1 },
    ];
    assert.deepEqual(takeTurns(dear, 16), [
      { index: 0, size: 3 },
      { index: 1, size: 3 },
    ]);
    assert.deepEqual(takeTurns(dear, 18), [
      { index: 0, size: 3 },
      { index: 1, size: 3 },
      { index: 2, size: 2 },
    ]);
    // What fills the budget has its turn, however its cost is rounded.
    for (let budget = 2; budget <= 4096; budget++) {
      for (const size of [3, 7, 49, 192, 384]) {
        const part = Math.min(size, budget);
        assert.deepEqual(takeTurns([{ size: part, since: 0, cost: budget / part }], budget), [
          { index: 0, size: part },
        ]);
      }
    }
    const sizes = fc.array(fc.integer({ min: 1, max: 16 }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(sizes, (pieces) => {
        const since = pieces.map(() => 0);
        for (let step = 1; step <= 40; step++) {
          const turns = pieces.map((size, index) => ({ size, since: since[index] ?? 0 }));
          const taken = takeTurns(turns, 16);
          assert.ok(taken.length > 0);
          assert.ok(taken.reduce((sum, { size }) => sum + size, 0) <= 16);
          for (const { index, size } of taken) {
            assert.equal(size, pieces[index]);
            since[index] = step;
          }
          for (const last of since) assert.ok(step - last <= pieces.length);
        }
      }),
    );
  });
});
