/**
 * The embedded model in this checkout beside another one of the same repository, alternating: whether a change made
 * anything slower. Both must be installed and built; each runs in a process of its own, and waits while the other is timed.
 *
 *   node --import=tsx/esm bench/compare-checkouts.ts --before FOLDER [--rounds 200] [--json] [--out FILE]
 */

import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Benchmark, commitOf } from '@switchyard/gpu/benchmark';
import { CheckoutProcess, type CheckoutTask } from './checkout-process.ts';
import { wrongAnswers } from './reference-answers.ts';
import { writeReport } from './write-report.ts';

const { values } = parseArgs({
  options: {
    before: { type: 'string' },
    rounds: { type: 'string', default: '200' },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});
if (values.before === undefined) throw new TypeError('Give --before FOLDER, a checkout that is installed and built');
const rounds = Number(values.rounds);
const here = fileURLToPath(new URL('../../..', import.meta.url));
const folders = { before: resolve(values.before), now: here };
const MANIFEST = 'packages/engine/package.json';

const benchmark = new Benchmark({
  name: 'compare-checkouts',
  manifest: pathToFileURL(join(folders.now, MANIFEST)),
  packages: ['@switchyard/models', '@switchyard/router-kernel', 'onnxruntime-node'],
  settings: { before: commitOf(pathToFileURL(join(folders.before, MANIFEST)))?.hash ?? 'unknown', rounds },
});
await using before = await CheckoutProcess.start(folders.before);
await using now = await CheckoutProcess.start(folders.now);
const processes = { before, now };

const what = 'greedy tokens with those that transformers computed in f32';
const problems = (checkout: CheckoutProcess): Promise<string[]> =>
  wrongAnswers(({ ids, greedy }) => checkout.answer(ids, greedy.length));
const checks = {
  before: await benchmark.check('before', what, () => problems(before)),
  now: await benchmark.check('now', what, () => problems(now)),
};

/** Each is short, so that what else the machine does falls on both alike. */
const TASKS: readonly { readonly name: string; readonly task: CheckoutTask }[] = [
  { name: 'decode, one sequence', task: { kind: 'decode', sequences: 1, tokens: 32 } },
  { name: 'decode, 8 sequences together', task: { kind: 'decode', sequences: 8, tokens: 12 } },
  { name: 'decode, 32 sequences together', task: { kind: 'decode', sequences: 32, tokens: 8 } },
  { name: 'prefill', task: { kind: 'prefill', tokens: 256 } },
];
for (const { name, task } of TASKS) {
  await benchmark.measure({
    name,
    unit: 'tokens/s',
    better: 'higher',
    parameters: { ...task },
    rounds,
    warmUpRounds: 10,
    contenders: (['before', 'now'] as const).map((contender) => ({
      name: contender,
      check: checks[contender],
      sample: () => processes[contender].measure(task),
    })),
  });
}
await benchmark.measure({
  name: 'load',
  unit: 'ms',
  better: 'lower',
  rounds: Math.ceil(rounds / 10),
  contenders: (['before', 'now'] as const).map((contender) => ({
    name: contender,
    check: checks[contender],
    sample: async () => {
      await using started = await CheckoutProcess.start(folders[contender]);
      return started.loadMilliseconds;
    },
  })),
});
process.exitCode = await writeReport(benchmark, values);
