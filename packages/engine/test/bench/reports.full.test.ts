import assert from 'node:assert/strict';
import { SHAPES } from '../../bench/page-answers.ts';
import { launchOrSkip } from '../page/browser.ts';
import { namesOf, runBench } from './run-bench.ts';

describe("the engine's benchmarks, each in its smallest run", function () {
  this.timeout(120_000);

  it('npm run bench gives a report in the documented form, of checked answers', async () => {
    const report = await runBench('run.ts', '--quick');
    const names = namesOf(report);
    for (const name of ['open the embedded checkpoint', 'decode MXFP4', 'decode, one sequence', 'prefill']) {
      assert.ok(names.has(name), name);
    }
    const decoders = report.series.filter(({ name }) => name === 'decode, one sequence');
    assert.deepEqual(
      decoders.map(({ contender }) => contender),
      ['runner', 'engine'],
    );
  });

  it('npm run bench measures what it is asked for, and refuses what it does not have', async () => {
    const names = namesOf(await runBench('run.ts', '--quick', '--only', 'layer'));
    assert.deepEqual([...names], ['MoE layer: dispatch, experts, combine']);
    await assert.rejects(runBench('run.ts', '--only', 'training'), /--only takes checkpoint, embedded, layer; found/);
  });

  it('schema-masks gives a report in the documented form, of checked answers', async () => {
    const report = await runBench('schema-masks.ts', '--quick');
    assert.deepEqual([...namesOf(report)], ['compile a schema', 'find the mask of a token']);
  });

  it('serve-load gives a report in the documented form, of checked answers', async () => {
    const report = await runBench('serve-load.ts', '--quick');
    assert.ok(namesOf(report).has('time to the first text'));
    const resident = report.series.find(({ name }) => name === 'resident memory');
    assert.equal(resident?.samples?.length, resident?.count);
  });

  it('serve-load gives a report of prompts and answers of given lengths, beside the runner by itself', async () => {
    const lengths = ['--prompt-tokens', '24', '--answer-tokens', '8', '--interrupt-prompt-tokens', '40'];
    const report = await runBench('serve-load.ts', '--quick', ...lengths);
    const answers = report.series.filter(({ name }) => name === 'answers');
    assert.deepEqual(
      answers.map(({ parameters }) => parameters),
      [
        { clients: 3, promptTokens: 24, answerTokens: 8 },
        { clients: 3, promptTokens: 24, answerTokens: 8, interruptPromptTokens: 40 },
      ],
    );
    for (const { facts } of answers) assert.ok(facts?.['compared'] !== undefined && facts['compared'] > 0);
    assert.ok((answers[1]?.facts?.['interruptions'] ?? 0) > 0);
    assert.ok(namesOf(report).has('p99 over median of that time'));
  });

  it('page-stream gives a report in the documented form, of answers that were shown whole', async function () {
    await (await launchOrSkip(this)).close();
    const report = await runBench('page-stream.ts', '--quick');
    const frames = report.series.filter(({ name }) => name === 'frames while an answer comes');
    assert.deepEqual(new Set(frames.map(({ contender }) => contender)), new Set([...SHAPES, 'the page at rest']));
  });
});
