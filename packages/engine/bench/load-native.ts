/**
 * A checkpoint of a published size by the native runner, through the engine: how soon it answers, how fast, and what
 * memory that takes. Only on Linux, whose account of a process's memory it reads.
 *
 *   node --import=tsx/esm bench/load-native.ts FOLDER [--loads 5] [--rounds 5] [--decode 16] [--prefill 256] [--json] [--out FILE]
 */

import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { Benchmark } from '@switchyard/gpu/benchmark';
import { openSnapshot } from '@switchyard/models';
import { leastStepBytes } from '../src/bench/step-bytes.ts';
import { ContenderProcess } from './llama/contender-process.ts';
import { CopyThreads } from './llama/copy-bandwidth.ts';
import { writeReport } from './write-report.ts';

const THREADS = 2;
const ANSWER_TOKENS = 8;

const { values, positionals } = parseArgs({
  options: {
    loads: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    decode: { type: 'string', default: '16' },
    prefill: { type: 'string', default: '256' },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
  allowPositionals: true,
});
const [folder] = positionals;
if (folder === undefined) throw new TypeError('Give the folder of a checkpoint');
const [decodeTokens, prefillTokens] = [Number(values.decode), Number(values.prefill)];

const benchmark = new Benchmark({
  name: 'load-native',
  manifest: new URL('../package.json', import.meta.url),
  packages: ['@switchyard/models', '@switchyard/router-kernel', 'koffi'],
  settings: { model: basename(folder) },
});
const loads: number[] = [];
for (let load = 0; load < Number(values.loads); load++) {
  await using loaded = await ContenderProcess.startEngine(folder);
  // The first may find nothing of the files in memory.
  if (load > 0) loads.push(loaded.loadMilliseconds);
}
await using engine = await ContenderProcess.startEngine(folder);
const prompt = Array.from({ length: 16 }, (_, index) => index * 37 + 11);
const first = await engine.answer(prompt, ANSWER_TOKENS);
const what = `the greedy answer of ${ANSWER_TOKENS} tokens, twice the same`;
const check = await benchmark.check('engine', what, async () => {
  const second = await engine.answer(prompt, ANSWER_TOKENS);
  return first.length === ANSWER_TOKENS && first.join() === second.join()
    ? []
    : [`${first.join()} and ${second.join()}`];
});
const about = { contender: 'engine', check } as const;
benchmark.record({ ...about, name: 'load, Engine.load to ready', unit: 'ms', better: 'lower', samples: loads });
await using copying = await CopyThreads.start(THREADS);
const copies: number[] = [];
const rate = (kind: 'decode' | 'prefill', tokens: number) => async (round: number) => {
  if (kind === 'decode' && round >= 0) copies.push(await copying.gigabytesPerSecond());
  return engine.rate({ kind, tokens, sequences: 1 });
};
const rounds = Number(values.rounds);
const [decode] = await benchmark.measure({
  name: 'decode, one sequence',
  unit: 'tokens/s',
  better: 'higher',
  parameters: { tokens: decodeTokens },
  rounds,
  contenders: [{ name: 'engine', check, sample: rate('decode', decodeTokens) }],
});
await benchmark.measure({
  name: 'prefill',
  unit: 'tokens/s',
  better: 'higher',
  parameters: { tokens: prefillTokens },
  rounds,
  contenders: [{ name: 'engine', check, sample: rate('prefill', prefillTokens) }],
});
benchmark.record({
  ...about,
  name: 'copies by two threads, read and written',
  unit: 'GB/s',
  better: 'higher',
  samples: copies,
});
using snapshot = await openSnapshot(folder, { encoder: 'when-needed' });
const context = prompt.length + decodeTokens / 2;
const bytes = leastStepBytes(snapshot.config, { sequences: 1, context, kvElementBytes: 4 });
const read = ((decode?.median ?? Number.NaN) * bytes) / 1e9;
benchmark.record({
  ...about,
  name: 'what decoding reads at the least',
  unit: 'GB/s',
  better: 'higher',
  samples: [read],
});
const { resident, anonymous } = await engine.memory();
benchmark.record({ ...about, name: 'resident memory', unit: 'MB', better: 'lower', samples: [resident] });
benchmark.record({ ...about, name: 'anonymous memory', unit: 'MB', better: 'lower', samples: [anonymous] });
process.exitCode = await writeReport(benchmark, values);
