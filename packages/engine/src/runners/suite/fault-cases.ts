import assert from 'node:assert/strict';
import type { SequenceStep } from '../runner.ts';
import type { RunnerCase, SuiteRun } from './suite-run.ts';
import { GREEDY } from './suite-run.ts';

/** Steps that cannot be, beside one that could. */
const WRONG: readonly (readonly [string, (suite: SuiteRun, sequence: number) => SequenceStep])[] = [
  ['no tokens', (_, sequence) => ({ sequence, tokens: new Int32Array(0), want: 'none' })],
  ['a negative token', (_, sequence) => ({ sequence, tokens: Int32Array.of(1, -1), want: 'none' })],
  [
    'a token past the vocabulary',
    ({ runner }, sequence) => ({ sequence, tokens: Int32Array.of(runner.vocabularySize), want: 'none' }),
  ],
  [
    'more tokens than the context',
    ({ runner }, sequence) => ({ sequence, tokens: new Int32Array(runner.contextLength + 1), want: 'none' }),
  ],
  ['an unknown sequence', () => ({ sequence: 2 ** 30, tokens: Int32Array.of(1), want: 'none' })],
  ['a token wanted without a sampler', (_, sequence) => ({ sequence, tokens: Int32Array.of(1), want: 'token' })],
  [
    'a sampler that was closed',
    ({ runner }, sequence) => {
      const sampler = runner.openSampler(GREEDY, new Int32Array(0));
      runner.closeSampler(sampler);
      return { sequence, tokens: Int32Array.of(1), want: 'token', sampler };
    },
  ],
  [
    "'sampled' before anything was",
    (suite, sequence) => ({ sequence, tokens: 'sampled', want: 'token', sampler: suite.sampler() }),
  ],
];

/** What is wrong is refused, and changes nothing. */
export const faultCases: readonly RunnerCase[] = [
  ...WRONG.map(
    ([name, wrong]): RunnerCase => ({
      section: 'faults',
      name: `${name}: the step is refused and every sequence is as it was`,
      run: async (suite) => {
        const { runner } = suite;
        const prompt = suite.prompt(0);
        const [other, sequence] = [suite.sequence(), suite.sequence()];
        await suite.append(other, prompt);
        const right: SequenceStep = { sequence: other, tokens: prompt.subarray(0, 3), want: 'last' };
        await assert.rejects(async () => runner.submit([right, wrong(suite, sequence)]).outputs);
        assert.deepEqual([runner.length(other), runner.length(sequence)], [prompt.length, 0]);
        const { logits } = await suite.alone(right);
        assert.equal(logits.length, runner.vocabularySize, 'the next step is computed');
      },
    }),
  ),
  {
    section: 'faults',
    name: 'a sequence twice in a step is refused',
    run: async (suite) => {
      const sequence = suite.sequence();
      const step: SequenceStep = { sequence, tokens: Int32Array.of(1), want: 'none' };
      await assert.rejects(async () => suite.runner.submit([step, step]).outputs);
      assert.equal(suite.runner.length(sequence), 0);
    },
  },
  {
    section: 'faults',
    name: 'a released sequence is unknown, and its number is not given to another',
    run: async (suite) => {
      const { runner } = suite;
      const sequence = runner.createSequence();
      runner.releaseSequence(sequence);
      assert.throws(() => runner.length(sequence));
      assert.throws(() => runner.releaseSequence(sequence));
      assert.throws(() => runner.forkSequence(sequence, 0));
      assert.notEqual(suite.sequence(), sequence);
    },
  },
  {
    section: 'faults',
    name: 'forks and cuts at lengths that are none are refused',
    run: async (suite) => {
      const { runner } = suite;
      const sequence = suite.sequence();
      const prompt = suite.prompt(0);
      await suite.append(sequence, prompt);
      for (const length of [-1, 0.5, prompt.length + 1, Number.NaN]) {
        assert.throws(() => runner.forkSequence(sequence, length), `a fork at ${length}`);
        assert.throws(() => runner.truncate(sequence, length), `a cut at ${length}`);
      }
      assert.equal(runner.length(sequence), prompt.length);
    },
  },
];
