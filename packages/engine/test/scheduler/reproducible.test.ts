import assert from 'node:assert/strict';
import { harmonyFormatOf, openSnapshot, renderConversation, type Snapshot } from '@switchyard/models';
import type { ModelRunner } from '../../src/runners/runner.ts';
import { createOrtRunner } from '../../src/runners/ort/index.ts';
import { sampledOnHost } from '../../src/runners/sampled-on-host.ts';
import { DEFAULT_SAMPLING } from '../../src/sampling/parameters.ts';
import type { SchedulerLimits } from '../../src/scheduler/limits.ts';
import { Scheduler } from '../../src/scheduler/scheduler.ts';

/** A prompt, and what the model said with the bits of its logits behind it. */
interface Answer {
  readonly tokens: number[];
  readonly logprobs: number[];
}

const LIMITS: SchedulerLimits = {
  maxSequences: 8,
  maxQueue: 64,
  prefillChunk: 48,
  kvCacheBytes: 64 * 2 ** 20,
  maxCachedPrefixes: 16,
};

for (const expertPrecision of ['exact', 'int4'] as const) {
  describe(`reproducible jobs of the embedded model, ${expertPrecision} experts`, () => {
    let snapshot: Snapshot;
    let runner: ModelRunner;
    let prompts: Int32Array[];
    before(async () => {
      snapshot = await openSnapshot();
      const { layers, experts, expertsPerToken } = snapshot.config;
      runner = sampledOnHost(await createOrtRunner({ snapshot, router: 'cpu', expertPrecision }), {
        routing: { layers, experts, topK: expertsPerToken },
      });
      const format = harmonyFormatOf(snapshot.chatTemplate);
      const questions = ['What is a lighthouse?', 'What is 17 + 25?', 'Who are you?', 'What is a ship? '.repeat(30)];
      // Every prompt begins with the same system message; the last two share more.
      prompts = [...questions, `${questions[3]}And a book?`].map((content) => {
        const messages = [{ role: 'user' as const, content }];
        return Int32Array.from(
          renderConversation({ messages, currentDate: '2026-11-23' }, snapshot.tokenizer, { format }),
        );
      });
    });
    after(async () => {
      await runner.dispose();
      snapshot.dispose();
    });

    const create = (limits: Partial<SchedulerLimits> = {}): Scheduler =>
      new Scheduler({ ...LIMITS, ...limits, runner });

    /** Answers at temperature 1; the job of index i comes before step `arrivals[i]`. */
    const run = async (
      scheduler: Scheduler,
      jobs: readonly number[],
      arrivals: readonly number[],
    ): Promise<Answer[]> => {
      const answers = jobs.map((): Answer => ({ tokens: [], logprobs: [] }));
      for (let step = 0; step === 0 || scheduler.hasWork || arrivals.some((arrival) => arrival >= step); step += 1) {
        for (const [id, index] of jobs.entries()) {
          if (arrivals[id] !== step) continue;
          scheduler.add({
            kind: 'generate',
            id,
            prompt: prompts[index] ?? new Int32Array(0),
            sampling: { ...DEFAULT_SAMPLING, temperature: 1, seed: index, logitBias: [] },
            maxTokens: 24,
            stopTokenIds: snapshot.generation.eosTokenIds,
            logprobs: 0,
            traceRouting: false,
            reusePrefix: true,
            reproducible: true,
            constraint: null,
            arrival: 0,
          });
        }
        const report = await scheduler.step();
        assert.deepEqual(report.failed, []);
        for (const { id, token, logprobs } of report.tokens) {
          answers[id]?.tokens.push(token);
          answers[id]?.logprobs.push(logprobs?.logprob ?? Number.NaN);
        }
      }
      return answers;
    };

    it('get the same tokens and bits alone, in any company, from kept prefixes and after they lost their memory', async () => {
      const alone: Answer[] = [];
      for (const index of prompts.keys()) alone.push(...(await run(create({ maxCachedPrefixes: 0 }), [index], [0])));
      for (const { tokens } of alone) assert.ok(tokens.length > 1);
      const jobs = [4, 3, 2, 1, 0, 3, 4, 0];
      const expected = jobs.map((index) => alone[index]);
      const scheduler = create();
      assert.deepEqual(await run(scheduler, jobs, [0, 0, 0, 0, 0, 0, 0, 0]), expected);
      // Now their prefixes are kept.
      assert.deepEqual(await run(scheduler, jobs, [0, 1, 5, 5, 9, 2, 30, 31]), expected);
      assert.ok(scheduler.stats.prefixCacheHits > 0);
      const { plan } = create().kv;
      const narrow = create({ maxSequences: 3, kvCacheBytes: plan.kvBytesPerToken * 600 });
      assert.deepEqual(await run(narrow, jobs, [0, 0, 0, 0, 3, 4, 5, 6]), expected);
      assert.ok(narrow.stats.preemptions > 0);
    });
  });
}
