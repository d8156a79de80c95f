import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import type { TokenConstraint } from '../../src/constraint/token-constraint.ts';
import { ForwardError, InvalidLogitsError } from '../../src/errors.ts';
import type { LogitsOutput, LogitsStep } from '../../src/runners/logits-runner.ts';
import { sampledOnHost } from '../../src/runners/sampled-on-host.ts';
import { DEFAULT_SAMPLING } from '../../src/sampling/parameters.ts';
import { tokenMaskWords } from '../../src/sampling/token-mask.ts';
import type { FailureReport, GenerateJob, ScoreReport, TokenReport } from '../../src/scheduler/job.ts';
import { Scheduler } from '../../src/scheduler/scheduler.ts';
import { ScriptedRunner } from '../fixtures/scripted-runner.ts';

const LOGITS = 77;
const TOKENS = 45;

/** Its padding is the likeliest by far, or no number at all. */
class PaddedRunner extends ScriptedRunner {
  readonly #padding: number;

  constructor(padding: number, vocabularySize = LOGITS) {
    super({ vocabularySize });
    this.#padding = padding;
  }

  override async forward(batch: readonly LogitsStep[]): Promise<readonly LogitsOutput[]> {
    const outputs = await super.forward(batch);
    for (const { logits } of outputs) {
      for (let i = 0; i < logits.length; i += 1) if (i % LOGITS >= TOKENS) logits[i] = this.#padding;
    }
    return outputs;
  }
}

const generate = (id: number, options: Partial<GenerateJob> = {}): GenerateJob => ({
  kind: 'generate',
  id,
  prompt: Int32Array.of(1, 2, 3),
  sampling: { ...DEFAULT_SAMPLING, seed: id, logitBias: [] },
  maxTokens: 8,
  stopTokenIds: [],
  logprobs: TOKENS + 5,
  traceRouting: false,
  reusePrefix: false,
  reproducible: false,
  constraint: null,
  arrival: 0,
  ...options,
});

function schedulerOf(runner: ScriptedRunner, constraint: TokenConstraint | null = null): Scheduler {
  return new Scheduler({
    maxSequences: 8,
    maxQueue: 8,
    prefillChunk: 16,
    kvCacheBytes: 4096,
    maxCachedPrefixes: 0,
    runner: sampledOnHost(runner, { tokens: TOKENS, routing: { layers: 1, experts: 2, topK: 1 } }),
    createConstraint: (spec) => (spec === null ? null : constraint),
  });
}

async function finish(
  scheduler: Scheduler,
): Promise<{ tokens: TokenReport[]; scored: ScoreReport[]; failed: FailureReport[] }> {
  const all = { tokens: [] as TokenReport[], scored: [] as ScoreReport[], failed: [] as FailureReport[] };
  for (let step = 0; scheduler.hasWork; step += 1) {
    assert.ok(step < 1000, 'the scheduler does not come to an end');
    const { tokens, scored, failed } = await scheduler.step();
    all.tokens.push(...tokens);
    all.scored.push(...scored);
    all.failed.push(...failed);
  }
  return all;
}

const constraintOf = (mask: Uint32Array): TokenConstraint => ({
  ready: Promise.resolve(),
  mask: () => mask,
  accept: () => undefined,
  [Symbol.dispose]: () => undefined,
});

describe('Scheduler with more logits than tokens', () => {
  const penalty = fc.double({ min: -2, max: 2, noNaN: true });
  const sampling = fc.record({
    temperature: fc.oneof(fc.constant(0), fc.double({ min: 1e-9, max: 100, noNaN: true })),
    topP: fc.double({ min: 1e-9, max: 1, noNaN: true }),
    topK: fc.nat(2 * LOGITS),
    minP: fc.double({ min: 0, max: 1, noNaN: true }),
    seed: fc.nat(),
    repetitionPenalty: fc.double({ min: 0.1, max: 10, noNaN: true }),
    presencePenalty: penalty,
    frequencyPenalty: penalty,
    logitBias: fc.array(fc.tuple(fc.nat(TOKENS - 1), fc.double({ min: -100, max: 100, noNaN: true })), {
      maxLength: 4,
    }),
  });
  const padding = fc.constantFrom(50, 1e30, Number.POSITIVE_INFINITY, Number.NaN, -50);
  const words = fc
    .array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { minLength: tokenMaskWords(LOGITS), maxLength: 3 })
    // All of the padding, and at least token 0.
    .map((bits) =>
      Uint32Array.from(bits, (word, index) => (index === 0 ? word | 1 : index === 1 ? word | 0xffff_e000 : -1)),
    );

  it('chooses tokens only, tells the log-probabilities of tokens only, and they are those of all there is', async () => {
    await fc.assert(
      fc.asyncProperty(sampling, padding, fc.option(words), async (parameters, value, mask) => {
        const scheduler = schedulerOf(new PaddedRunner(value), mask === null ? null : constraintOf(mask));
        scheduler.add(generate(0, { sampling: parameters, constraint: mask === null ? null : {} }));
        const { tokens, failed } = await finish(scheduler);
        assert.deepEqual(failed, []);
        assert.equal(tokens.length, 8);
        for (const { token, logprobs } of tokens) {
          assert.ok(token >= 0 && token < TOKENS, `token ${token}`);
          if (mask !== null) assert.equal(((mask[token >>> 5] ?? 0) >>> (token & 31)) & 1, 1);
          assert.equal(logprobs?.topIds.length, TOKENS);
          assert.ok(logprobs.topIds.every((id) => id < TOKENS));
          const sum = logprobs.topLogprobs.reduce((total, logprob) => total + Math.exp(logprob), 0);
          assert.ok(Math.abs(sum - 1) < 1e-9, `the probabilities sum to ${sum}`);
        }
      }),
    );
  });

  it('gives the tokens and the scores that it gives without the padding', async () => {
    const outcomes = await Promise.all(
      [50, Number.NaN, -50].map(async (value) => {
        const scheduler = schedulerOf(new PaddedRunner(value));
        scheduler.add(generate(1, { sampling: { ...DEFAULT_SAMPLING, temperature: 1, seed: 5, logitBias: [] } }));
        scheduler.add({ kind: 'score', id: 2, prompt: Int32Array.of(4, 5, 6, 7), arrival: 0 });
        const { tokens, scored } = await finish(scheduler);
        return [tokens.map(({ token }) => token), scored.map(({ logprobs }) => [...logprobs])];
      }),
    );
    assert.deepEqual(outcomes[0], outcomes[1]);
    assert.deepEqual(outcomes[0], outcomes[2]);
  });

  it('says so where a mask lets no token through, or a step gives no logits', async () => {
    const onlyPadding = Uint32Array.of(0, 0xffff_e000, 0xffff_ffff);
    const masked = schedulerOf(new PaddedRunner(50), constraintOf(onlyPadding));
    masked.add(generate(0, { constraint: {} }));
    const [failure] = (await finish(masked)).failed;
    assert.ok(failure?.error instanceof ForwardError);
    assert.match(failure.error.message, /lets no token through/);

    const silent = new ScriptedRunner({ vocabularySize: LOGITS });
    silent.forward = (batch) => Promise.resolve(batch.map(() => ({ logits: new Float32Array(0) })));
    const scheduler = schedulerOf(silent);
    scheduler.add(generate(0));
    assert.ok((await finish(scheduler)).failed[0]?.error instanceof InvalidLogitsError);
  });

  it('fails the job alone whose sequence the runner cannot make', async () => {
    const runner = new ScriptedRunner({ vocabularySize: LOGITS });
    const scheduler = schedulerOf(runner);
    const create = runner.createSequence.bind(runner);
    let made = 0;
    runner.createSequence = () => {
      made += 1;
      if (made === 2) throw new Error('no memory just now');
      return create();
    };
    for (const id of [0, 1, 2]) scheduler.add(generate(id));
    const { tokens, failed } = await finish(scheduler);
    assert.deepEqual(
      failed.map(({ id }) => id),
      [1],
    );
    assert.match(String(failed[0]?.error), /ForwardError: .*no memory just now/);
    for (const id of [0, 2]) assert.equal(tokens.filter((report) => report.id === id).length, 8);
    assert.deepEqual([scheduler.stats.running, scheduler.stats.waiting, scheduler.kv.usedBytes], [0, 0, 0]);
  });
});
