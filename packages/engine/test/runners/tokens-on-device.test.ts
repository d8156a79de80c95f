import assert from 'node:assert/strict';
import { ForwardError, InvalidLogitsError } from '../../src/errors.ts';
import type { LogitsRunner, LogitsStep } from '../../src/runners/logits-runner.ts';
import type { ModelRunner, SequenceStep } from '../../src/runners/runner.ts';
import { sampledOnHost } from '../../src/runners/sampled-on-host.ts';
import { GREEDY } from '../../src/runners/suite/suite-run.ts';
import { RandomStream } from '../../src/sampling/random.ts';
import { Sampler } from '../../src/sampling/sampler.ts';

const VOCABULARY = 8;

/** Its likeliest token is always 5; asked to choose, it says `chosen`, or throws what `failure` gives. */
function runnerOfFives(
  chosen: number,
  asked: LogitsStep[],
  failure: () => Error | null = () => null,
  abilities: Pick<LogitsRunner, 'choosesTokens' | 'mostAdjustedTokens'> = { choosesTokens: true },
): LogitsRunner {
  const nothing = (): void => {};
  return {
    name: 'fives',
    vocabularySize: VOCABULARY,
    contextLength: 100,
    memory: { weightBytes: 0, kvBytesPerToken: 1, kvBytes: (tokens) => tokens },
    router: { backend: 'none', device: 'none' },
    ...abilities,
    timings: { steps: 0, compute: 0, experts: 0, router: 0, overhead: 0 },
    onRouting: null,
    createSequence: () => 1,
    forkSequence: () => null,
    truncate: () => true,
    releaseSequence: nothing,
    length: () => 0,
    forward: async (batch) => {
      asked.push(...batch);
      const error = failure();
      if (error !== null) throw error;
      return batch.map(({ tokens, logits }) => {
        const rows = logits === 'all' ? tokens.length : logits === 'last' ? 1 : 0;
        const values = Float32Array.from({ length: rows * VOCABULARY }, (_, index) => Number(index % VOCABULARY === 5));
        return logits === 'largest' || logits === 'drawn' ? { logits: values, token: chosen } : { logits: values };
      });
    },
    dispose: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

describe('tokens that the runner chooses itself', () => {
  const asked: LogitsStep[] = [];
  let runner: ModelRunner;
  const routing = { layers: 0, experts: 1, topK: 1 };
  const use = (chosen: number, failure?: () => Error | null): void => {
    asked.splice(0);
    runner = sampledOnHost(runnerOfFives(chosen, asked, failure), { routing });
  };
  const useAdjusting = (chosen: number, mostAdjustedTokens: number): void => {
    asked.splice(0);
    const abilities = { choosesTokens: true, mostAdjustedTokens };
    runner = sampledOnHost(runnerOfFives(chosen, asked, undefined, abilities), { routing });
  };
  const step = (change: Partial<SequenceStep> = {}): SequenceStep => ({
    sequence: 1,
    tokens: Int32Array.of(1),
    want: 'token',
    sampler: runner.openSampler(GREEDY, new Int32Array(0)),
    ...change,
  });

  it('are taken as they are, and go into the next step where that asks for what was sampled', async () => {
    use(3);
    const first = step();
    assert.deepEqual(
      (await runner.submit([first]).outputs).map(({ token, logits }) => [token, logits.length]),
      [[3, 0]],
    );
    await runner.submit([{ ...first, tokens: 'sampled' }]).outputs;
    assert.deepEqual(
      asked.map(({ tokens, logits }) => [[...tokens], logits]),
      [
        [[1], 'largest'],
        [[3], 'largest'],
      ],
    );
  });

  const DRAWN = { ...GREEDY, temperature: 0.7, topP: 0.9, topK: 3, minP: 0.5, seed: 11 };

  it('are drawn by the random numbers of the request, one a token', async () => {
    use(3);
    const sampler = runner.openSampler(DRAWN, new Int32Array(0));
    for (let count = 0; count < 3; count++) await runner.submit([step({ sampler })]).outputs;
    const random = new RandomStream(DRAWN.seed);
    const { temperature, topP, topK } = DRAWN;
    const numbers = { temperature, topP, topK, smallestWeight: 2 ** 34 };
    assert.deepEqual(
      asked.map(({ logits, draw }) => [logits, draw]),
      [1, 2, 3].map(() => ['drawn', { ...numbers, random: random.next() }]),
    );
  });

  it('are drawn on the host where the runner finds the largest alone', async () => {
    asked.splice(0);
    const own = runnerOfFives(3, asked, undefined, { choosesTokens: 'largest' });
    runner = sampledOnHost(own, { routing });
    await runner.submit([step()]).outputs;
    await runner.submit([step({ sampler: runner.openSampler(DRAWN, new Int32Array(0)) })]).outputs;
    assert.deepEqual(
      asked.map(({ logits }) => logits),
      ['largest', 'last'],
    );
  });

  it('are drawn by the same number after a step that failed, and where the logits come up instead', async () => {
    let failures = 2;
    use(3, () => (failures-- > 0 ? new Error('lost') : null));
    const sampler = runner.openSampler(DRAWN, new Int32Array(0));
    for (let count = 0; count < 2; count++) await assert.rejects(runner.submit([step({ sampler })]).outputs, /lost/);
    await runner.submit([step({ sampler })]).outputs;
    const [first, second, third] = asked.map(({ draw }) => draw?.random);
    assert.ok(first !== undefined && first === second && second === third);

    const untold = new Sampler(DRAWN, new Int32Array(0));
    const told = new Sampler(DRAWN, new Int32Array(0));
    const logits = Float32Array.from({ length: VOCABULARY }, (_, id) => id % 3);
    const tokens = [untold, told].map((one) =>
      Array.from({ length: 20 }, (_, index) => {
        if (one === told && index % 2 === 0) told.planDraw();
        return one.sample(logits);
      }),
    );
    assert.deepEqual(tokens[1], tokens[0]);
  });

  it('are planned ahead by the numbers that come one after the other', () => {
    const sampler = new Sampler(DRAWN, new Int32Array(0));
    const random = new RandomStream(DRAWN.seed);
    const [first, second, third] = [random.next(), random.next(), random.next()];
    assert.deepEqual([sampler.planDraw()?.random, sampler.planDraw(1)?.random], [first, second]);
    sampler.took(0);
    assert.deepEqual([sampler.planDraw()?.random, sampler.planDraw(1)?.random], [second, third]);
  });

  it('are not asked for where more is wanted, or where more than the logits decides', async () => {
    use(3);
    const sampler = (change: Partial<typeof GREEDY>): number =>
      runner.openSampler({ ...GREEDY, ...change }, Int32Array.of(2));
    const mask = new Uint32Array(1).fill(0xff);
    const others: Partial<SequenceStep>[] = [
      { logprobs: 0 },
      { mask },
      { targets: Int32Array.of(4) },
      { want: 'last' },
      { sampler: sampler({ temperature: 0.7 }), logprobs: 0 },
      { sampler: sampler({ temperature: 0.7 }), mask },
      { sampler: sampler({ temperature: 0.7, presencePenalty: 0.5 }) },
      { sampler: sampler({ temperature: 0.7, logitBias: [[5, -100]] }) },
      { sampler: sampler({ repetitionPenalty: 1.1 }) },
      { sampler: sampler({ presencePenalty: 0.5 }) },
      { sampler: sampler({ frequencyPenalty: 0.5 }) },
      { sampler: sampler({ logitBias: [[5, -100]] }) },
    ];
    for (const other of others) await runner.submit([step(other)]).outputs;
    assert.ok(asked.length === others.length && asked.every(({ logits }) => logits === 'last' || logits === 'all'));
  });

  it('are asked for with what changes the logits, where the runner takes that, up to so many tokens', async () => {
    const mask = new Uint32Array(1).fill(0xff);
    useAdjusting(3, 2);
    await runner.submit([step({ mask })]).outputs;
    const biased = runner.openSampler({ ...GREEDY, logitBias: [[5, -100]] }, new Int32Array(0));
    await runner.submit([step({ sampler: biased })]).outputs;
    assert.deepEqual(
      asked.map(({ logits, adjustments, mask: own }) => [logits, adjustments?.tokens.size, own]),
      [
        ['largest', undefined, mask],
        ['largest', 1, undefined],
      ],
    );
    // The prompt's tokens are two; with the first of the answer they are too many.
    const penalized = runner.openSampler({ ...DRAWN, repetitionPenalty: 1.1 }, Int32Array.of(6, 7, 6));
    for (const expected of ['drawn', 'last', 'last']) {
      await runner.submit([step({ sampler: penalized })]).outputs;
      assert.equal(asked.at(-1)?.logits, expected);
    }
  });

  it('count for the next one before anybody has seen them, where they stand in its row', async () => {
    const sampler = new Sampler({ ...GREEDY, presencePenalty: 1 }, new Int32Array(0), [4]);
    const [now, next] = [sampler.planAdjustments(), sampler.planAdjustments(1)];
    const counted = (): readonly unknown[] => [now?.answered, next?.answered, next?.tokens.answered];
    assert.deepEqual(counted(), [1, 2, 1]);
    sampler.took(4);
    assert.deepEqual(counted(), [1, 2, 2]);
    assert.deepEqual([...(next?.tokens.entries ?? [])], [4, 2, 0, 0]);
    const biased = new Sampler({ ...GREEDY, logitBias: [[1, 2]] }, new Int32Array(0), [4]);
    assert.equal(biased.planAdjustments(1)?.answered, biased.planAdjustments()?.tokens.answered);
  });

  it('fail the sequence where a mask forbids what was chosen: it has let no token through', async () => {
    useAdjusting(3, 2);
    const outputs = await runner.submit([step({ mask: Uint32Array.of(0b110) })]).outputs;
    assert.ok(outputs[0]?.failure instanceof ForwardError);
    useAdjusting(-1, 2);
    const [none] = await runner.submit([step({ mask: Uint32Array.of(0b110) })]).outputs;
    assert.ok(none?.failure instanceof InvalidLogitsError);
  });

  it('fail the sequence where no logit is a number', async () => {
    use(-1);
    const [output] = await runner.submit([step()]).outputs;
    assert.ok(output?.failure instanceof InvalidLogitsError);
    assert.equal(output.token, -1);
  });
});
