import assert from 'node:assert/strict';
import { type Snapshot, openSnapshot } from '@switchyard/models';
import type { ModelRunner } from '../../src/runners/runner.ts';
import { soak } from '../../src/verify/soak.ts';
import { goldenPrompts } from '../golden/golden-prompts.ts';
import { ortRunner } from '../runners/suite-of-embedded-model.ts';

describe('a soak', function () {
  this.timeout(60_000);
  /** Two short prompts with the beginnings of their answers. */
  const golden = goldenPrompts.slice(1, 3).map((prompt) => ({ ...prompt, greedy: prompt.greedy.slice(0, 4) }));
  let snapshot: Snapshot;
  let runner: ModelRunner;
  before(async () => {
    snapshot = await openSnapshot();
    runner = await ortRunner(snapshot);
  });
  after(async () => {
    await runner.dispose();
    snapshot.dispose();
  });

  it('repeats its answers until there were enough steps, and tells of the memory after each round', async () => {
    const rounds: number[] = [];
    const report = await soak(runner, {
      steps: 9,
      golden,
      deviceFreeBytes: () => 1000,
      onRound: ({ steps }) => rounds.push(steps),
    });
    assert.deepEqual(rounds, [4, 8, 12]);
    assert.deepEqual(
      report.samples.map(({ steps, deviceFreeBytes }) => [steps, deviceFreeBytes]),
      rounds.map((steps) => [steps, 1000]),
    );
    // Two greedy and two drawn ones a round.
    assert.deepEqual([report.steps, report.answers, report.wrongAnswers], [12, 12, 0]);
    assert.deepEqual([report.deviceGrowthBytes, report.passed], [0, true]);
  });

  it('fails where an answer is another one, and where the device has less and less memory free', async () => {
    const other = golden.map((prompt, index) => (index === 0 ? { ...prompt, greedy: [1, 2, 3, 4] } : prompt));
    const wrong = await soak(runner, { steps: 5, golden: other, deviceFreeBytes: null });
    assert.deepEqual([wrong.wrongAnswers, wrong.passed, wrong.deviceGrowthBytes], [2, false, null]);
    let free = 1000;
    const leaking = await soak(runner, { steps: 13, golden, deviceFreeBytes: () => (free -= 10) });
    assert.deepEqual([leaking.wrongAnswers, leaking.passed], [0, false]);
    assert.ok((leaking.deviceGrowthBytes ?? 0) > 0);
  });
});
