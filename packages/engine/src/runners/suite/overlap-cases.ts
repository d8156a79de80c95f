import assert from 'node:assert/strict';
import { RunnerBusyError } from '../errors.ts';
import type { SamplingParameters } from '../../sampling/parameters.ts';
import type { SequenceStep, SubmittedStep } from '../runner.ts';
import type { RunnerCase, SuiteRun } from './suite-run.ts';

const DRAWN: Partial<SamplingParameters> = { temperature: 0.8, seed: 77 };
/** The token of the step under way counts for the next. */
const PENALIZED: Partial<SamplingParameters> = {
  ...DRAWN,
  repetitionPenalty: 1.2,
  presencePenalty: 1,
  frequencyPenalty: 0.5,
};

/** Two steps under way: the second begins with what the first leaves. */
export const overlapCases: readonly RunnerCase[] = [
  ...[
    { what: 'an answer', sampling: DRAWN },
    { what: 'an answer with penalties', sampling: PENALIZED },
  ].map(
    ({ what, sampling }): RunnerCase => ({
      section: 'overlap',
      name: `${what} is the same with the next step submitted before the last is done`,
      run: async (suite) => {
        const prompt = suite.prompt(0);
        const apart = await answer(suite, prompt, sampling, false);
        assert.deepEqual(await answer(suite, prompt, sampling, true), apart);
      },
    }),
  ),
  {
    section: 'overlap',
    name: 'a second step may bring other sequences, and those of the first with known tokens',
    run: async (suite) => {
      const [a, b] = [suite.prompt(0), suite.prompt(1)];
      const [first, second] = [suite.sequence(), suite.sequence()];
      const one = suite.runner.submit([{ sequence: first, tokens: a.subarray(0, -2), want: 'none' }]);
      const two = suite.runner.submit([
        { sequence: second, tokens: b, want: 'last' },
        { sequence: first, tokens: a.subarray(-2), want: 'last' },
      ]);
      await one.outputs;
      const outputs = await two.outputs;
      const { betweenKinds } = suite.tolerances;
      for (const [index, tokens] of [b, a].entries()) {
        const expected = await suite.logitsAfter(tokens);
        const found = outputs[index]?.logits ?? new Float32Array(0);
        const difference = found.reduce(
          (most, value, id) => Math.max(most, Math.abs(value - (expected[id] as number))),
          0,
        );
        assert.ok(found.length > 0 && difference <= betweenKinds, `sequence ${index} differs by ${difference}`);
      }
    },
  },
  {
    section: 'overlap',
    name: 'a third step is refused, and so is whatever would change a sequence that is under way',
    run: async (suite) => {
      const { runner } = suite;
      const [busy, idle] = [suite.sequence(), suite.sequence()];
      const step: SequenceStep = { sequence: busy, tokens: suite.prompt(0), want: 'none' };
      const steps = [runner.submit([step]), runner.submit([step])];
      assert.throws(() => runner.submit([step]), RunnerBusyError);
      assert.throws(() => runner.forkSequence(busy, 0), RunnerBusyError);
      assert.throws(() => runner.truncate(busy, 0), RunnerBusyError);
      assert.throws(() => runner.releaseSequence(busy), RunnerBusyError);
      suite.drop(idle);
      suite.drop(suite.sequence());
      for (const { outputs } of steps) await outputs;
      assert.equal(runner.length(busy), 2 * suite.prompt(0).length);
    },
  },
  {
    section: 'overlap',
    name: 'a step that fails takes the one after it along, and both leave their sequences as they were',
    run: async (suite) => {
      const { runner } = suite;
      const prompt = suite.prompt(2);
      const [first, second] = [suite.sequence(), suite.sequence()];
      await suite.append(first, prompt);
      const broken = runner.submit([
        { sequence: first, tokens: prompt, want: 'none' },
        { sequence: second, tokens: Int32Array.of(runner.vocabularySize), want: 'none' },
      ]);
      const victim = runner.submit([{ sequence: first, tokens: prompt, want: 'none' }]);
      await assert.rejects(broken.outputs);
      await assert.rejects(victim.outputs);
      assert.deepEqual([runner.length(first), runner.length(second)], [prompt.length, 0]);
      await suite.append(first, prompt);
      assert.equal(runner.length(first), 2 * prompt.length);
    },
  },
];

async function answer(
  suite: SuiteRun,
  prompt: Int32Array,
  sampling: Partial<SamplingParameters>,
  ahead: boolean,
): Promise<number[]> {
  const sequence = suite.sequence();
  const sampler = suite.sampler(sampling, prompt);
  await suite.append(sequence, prompt.subarray(0, -1));
  const submit = (tokens: Int32Array | 'sampled'): SubmittedStep =>
    suite.runner.submit([{ sequence, tokens, want: 'token', sampler }]);
  const tokens: number[] = [];
  let underWay = submit(prompt.subarray(-1));
  while (tokens.length < 8) {
    const next: SubmittedStep | null = ahead ? submit('sampled') : null;
    const [output] = await underWay.outputs;
    tokens.push(output?.token ?? -1);
    underWay = next ?? submit('sampled');
  }
  await underWay.outputs;
  return tokens;
}
