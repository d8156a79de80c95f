import assert from 'node:assert/strict';
import { InvalidLogitsError } from '../../src/errors.ts';
import type { LogitsRunner, LogitsStep } from '../../src/runners/logits-runner.ts';
import type { ModelRunner, SequenceStep } from '../../src/runners/runner.ts';
import { sampledOnHost } from '../../src/runners/sampled-on-host.ts';
import { GREEDY } from '../../src/runners/suite/suite-run.ts';

const VOCABULARY = 8;

/** Its likeliest token is always 5; asked for the largest, it says `largest`. */
function runnerOfFives(largest: number, asked: LogitsStep[]): LogitsRunner {
  const nothing = (): void => {};
  return {
    name: 'fives',
    vocabularySize: VOCABULARY,
    contextLength: 100,
    memory: { weightBytes: 0, kvBytesPerToken: 1, kvBytes: (tokens) => tokens },
    router: { backend: 'none', device: 'none' },
    choosesLargest: true,
    timings: { steps: 0, compute: 0, experts: 0, router: 0, overhead: 0 },
    onRouting: null,
    createSequence: () => 1,
    forkSequence: () => null,
    truncate: () => true,
    releaseSequence: nothing,
    length: () => 0,
    forward: async (batch) => {
      asked.push(...batch);
      return batch.map(({ tokens, logits }) => {
        const rows = logits === 'all' ? tokens.length : logits === 'last' ? 1 : 0;
        const values = Float32Array.from({ length: rows * VOCABULARY }, (_, index) => Number(index % VOCABULARY === 5));
        return logits === 'largest' ? { logits: values, token: largest } : { logits: values };
      });
    },
    dispose: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

describe('greedy tokens that the runner chooses itself', () => {
  const asked: LogitsStep[] = [];
  let runner: ModelRunner;
  const use = (largest: number): void => {
    asked.splice(0);
    runner = sampledOnHost(runnerOfFives(largest, asked), { routing: { layers: 0, experts: 1, topK: 1 } });
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

  it('are not asked for where more is wanted, or where the largest logit is not what the sampler would take', async () => {
    use(3);
    const sampler = (change: Partial<typeof GREEDY>): number =>
      runner.openSampler({ ...GREEDY, ...change }, Int32Array.of(2));
    const mask = new Uint32Array(1).fill(0xff);
    const others: Partial<SequenceStep>[] = [
      { logprobs: 0 },
      { mask },
      { targets: Int32Array.of(4) },
      { want: 'last' },
      { sampler: sampler({ temperature: 0.7 }) },
      { sampler: sampler({ repetitionPenalty: 1.1 }) },
      { sampler: sampler({ presencePenalty: 0.5 }) },
      { sampler: sampler({ frequencyPenalty: 0.5 }) },
      { sampler: sampler({ logitBias: [[5, -100]] }) },
    ];
    for (const other of others) await runner.submit([step(other)]).outputs;
    assert.ok(asked.length === others.length && asked.every(({ logits }) => logits !== 'largest'));
  });

  it('fail the sequence where no logit is a number', async () => {
    use(-1);
    const [output] = await runner.submit([step()]).outputs;
    assert.ok(output?.failure instanceof InvalidLogitsError);
    assert.equal(output.token, -1);
  });
});
