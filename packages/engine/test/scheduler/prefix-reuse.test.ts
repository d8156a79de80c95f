import assert from 'node:assert/strict';
import {
  type HarmonyMessage,
  HarmonyParser,
  harmonyFormatOf,
  harmonyTokens,
  openSnapshot,
  renderConversation,
  type Snapshot,
} from '@switchyard/models';
import type { ModelRunner } from '../../src/runners/runner.ts';
import { createOrtRunner } from '../../src/runners/ort/index.ts';
import { sampledOnHost } from '../../src/runners/sampled-on-host.ts';
import { DEFAULT_SAMPLING } from '../../src/sampling/parameters.ts';
import type { FinishReport } from '../../src/scheduler/job.ts';
import { Scheduler } from '../../src/scheduler/scheduler.ts';

const QUESTIONS = [
  'What is a lighthouse?',
  'What is 17 + 25?',
  'What is a harbour?',
  'What is a flimsnort?',
  'What is a mountain?',
  'What is a river?',
  'What is a tower?',
  'What is 8 + 5?',
  'What is a book?',
  'What is a ship?',
  'What is a garden?',
];

/** Sequences keep at most two windows of the sliding layers' rows: past this, the first ones are gone. */
const GONE_AFTER = 2;

describe('prefix reuse past the sliding window', () => {
  let snapshot: Snapshot;
  let runner: ModelRunner;
  before(async () => {
    snapshot = await openSnapshot();
    const { layers, experts, expertsPerToken } = snapshot.config;
    runner = sampledOnHost(await createOrtRunner({ snapshot, router: 'cpu' }), {
      routing: { layers, experts, topK: expertsPerToken },
    });
  });
  after(async () => {
    await runner.dispose();
    snapshot.dispose();
  });

  const schedule = (maxCachedPrefixes: number): Scheduler => {
    return new Scheduler({
      maxSequences: 4,
      maxQueue: 16,
      prefillChunk: 64,
      kvCacheBytes: 64 * 2 ** 20,
      maxCachedPrefixes,
      runner,
    });
  };

  interface Answer {
    readonly tokens: readonly number[];
    readonly cachedTokens: number;
  }

  /** Greedy answers to prompts that are there at the same time. */
  const run = async (scheduler: Scheduler, prompts: readonly Int32Array[]): Promise<Answer[]> => {
    const tokens = prompts.map((): number[] => []);
    const finished = new Map<number, FinishReport>();
    for (const [id, prompt] of prompts.entries()) {
      scheduler.add({
        kind: 'generate',
        id,
        prompt,
        sampling: { ...DEFAULT_SAMPLING, seed: 1, logitBias: [] },
        maxTokens: 60,
        stopTokenIds: snapshot.generation.eosTokenIds,
        logprobs: null,
        traceRouting: false,
        reusePrefix: true,
        reproducible: false,
        constraint: null,
        arrival: 0,
      });
    }
    while (scheduler.hasWork) {
      const report = await scheduler.step();
      assert.deepEqual(report.failed, []);
      for (const { id, token } of report.tokens) tokens[id]?.push(token);
      for (const end of report.finished) finished.set(end.id, end);
    }
    return tokens.map((answer, id) => ({ tokens: answer, cachedTokens: finished.get(id)?.cachedTokens ?? -1 }));
  };

  const render = (messages: readonly HarmonyMessage[]): Int32Array => {
    const format = harmonyFormatOf(snapshot.chatTemplate);
    return Int32Array.from(renderConversation({ messages, currentDate: '2026-11-23' }, snapshot.tokenizer, { format }));
  };

  /** The answer's final text, as it goes into the next turn: without its analysis. */
  const finalOf = (tokens: readonly number[]): string => {
    const parser = new HarmonyParser(snapshot.tokenizer);
    for (const token of tokens) parser.push(token);
    parser.finish();
    return parser.answer().final;
  };

  it('gives each turn of a conversation the tokens that computing it from scratch gives', async () => {
    const { slidingWindow } = snapshot.config;
    const scheduler = schedule(16);
    const messages: HarmonyMessage[] = [];
    const prompts: Int32Array[] = [];
    for (const content of QUESTIONS) {
      messages.push({ role: 'user', content });
      const prompt = render(messages);
      const [answer] = await run(scheduler, [prompt]);
      const [fresh] = await run(schedule(0), [prompt]);
      assert.ok(answer !== undefined && fresh !== undefined);
      assert.equal(fresh.cachedTokens, 0);
      assert.deepEqual(answer.tokens, fresh.tokens, content);
      // All but the last turn's header, which the answer's analysis does not follow again.
      const before = prompts.at(-1);
      if (before !== undefined) assert.ok(answer.cachedTokens >= before.length - 8, `${answer.cachedTokens} reused`);
      messages.push({ role: 'assistant', content: finalOf(answer.tokens) });
      prompts.push(prompt);
    }
    assert.ok((prompts.at(-1)?.length ?? 0) > GONE_AFTER * slidingWindow);

    // Back to every turn: some of these prefixes the windows of the kept sequences still have, others they have not.
    const again = await run(scheduler, prompts);
    const fresh = await run(schedule(0), prompts);
    assert.deepEqual(
      again.map(({ tokens }) => tokens),
      fresh.map(({ tokens }) => tokens),
    );
  });

  it('computes anew where the kept sequence has lost the rows that a prompt would need', async () => {
    const { slidingWindow } = snapshot.config;
    const { start } = harmonyTokens(snapshot.tokenizer);
    const long = render(QUESTIONS.map((content) => ({ role: 'user' as const, content: content.repeat(8) })));
    assert.ok(long.length > 4 * slidingWindow);
    // Parts from the long prompt inside its second message.
    const place = long.indexOf(start, long.indexOf(start) + 1) + 12;
    const other = Int32Array.from([
      ...long.subarray(0, place),
      ...render([{ role: 'user', content: 'What is a ship?' }]),
    ]);
    const scheduler = schedule(16);
    await run(scheduler, [long]);
    const [answer] = await run(scheduler, [other]);
    const [fresh] = await run(schedule(0), [other]);
    assert.equal(answer?.cachedTokens, 0);
    assert.deepEqual(answer?.tokens, fresh?.tokens);
  });
});
