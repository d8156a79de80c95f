/**
 * Requests of all kinds that arrive at random, are given up at random and run out of KV memory, for minutes on end: every
 * answer beside the one that the engine gives the same request alone, and the process's memory from the second quarter of the
 * time to the last. Ends with exit code 1 where an answer was another one, a request failed, or memory grew.
 *
 *   node --import=tsx/esm bench/soak-arrivals.ts [--runner hip] [--model FOLDER | --shape gpt-oss-20b] [--seconds 300]
 *     [--sequences 32] [--requests 96] [--kv-cache-mib N] [--json] [--out FILE]
 *
 * KV memory defaults to what a quarter of the sequences take at the longest, so that some have to start over.
 */

import { parseArgs } from 'node:util';
import { Benchmark, medianOf } from '@switchyard/gpu/benchmark';
import { openSnapshot } from '@switchyard/models';
import { publishedConfig } from '@switchyard/models/testing';
import { Engine } from '../dist/engine.js';
import { AbortedError } from '../dist/errors.js';
import type { EngineOptions } from '../dist/options.js';
import type { GenerateRequest } from '../dist/request.js';
import { RUNNERS } from '../dist/runners/runner-table.js';
import { seededRandom } from '../../router-kernel/src/suite/seeded-random.ts';
import { engineRunner } from './engine-runner.ts';
import { runnerNamed, shapeNamed } from './named-options.ts';
import { soakRequests } from './soak-requests.ts';
import { writeReport } from './write-report.ts';

const LONGEST = { mostPrompt: 1500, mostAnswer: 200 } as const;
/** Of all requests, those that are given up, and how long they are waited for at the most. */
const GIVEN_UP = 0.15;
const MOST_PATIENCE_MS = 500;
/** Of the sequences that there are: so many requests are open at once, or up to twice as many. */
const OPEN_SHARE = 1.5;
/** Milliseconds from one arrival to the next, on average, where fewer are open and where more are. */
const FEW_OPEN_MS = 5;
const MANY_OPEN_MS = 50;
const SAMPLE_MS = 1000;
const MS_PER_SECOND = 1000;
const MEBIBYTE = 2 ** 20;
/** JavaScript's own memory comes and goes by so much. */
const MOST_GROWTH_BYTES = 48 * MEBIBYTE;

const { values } = parseArgs({
  options: {
    runner: { type: 'string', default: 'native' },
    model: { type: 'string' },
    shape: { type: 'string' },
    seconds: { type: 'string', default: '300' },
    sequences: { type: 'string', default: '32' },
    requests: { type: 'string', default: '96' },
    'kv-cache-mib': { type: 'string' },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});
const runner = runnerNamed(values.runner);
const shape = shapeNamed(values.shape);
const [seconds, sequences, requestCount] = [values.seconds, values.sequences, values.requests].map(Number) as [
  number,
  number,
  number,
];

/** KV memory that a quarter of the sequences take at the longest. */
async function scarceKvBytes(): Promise<number> {
  using snapshot = await openSnapshot(values.model);
  const config = shape === undefined ? snapshot.config : publishedConfig(shape);
  return Math.ceil((sequences / 4) * RUNNERS[runner].kvBytes(config, 'bf16')(LONGEST.mostPrompt + LONGEST.mostAnswer));
}

/** What an answer is told by. */
async function answerOf(request: GenerateRequest): Promise<string> {
  const { ids, finishReason, logprobs } = await engine.complete(request);
  return JSON.stringify([
    ids,
    finishReason,
    logprobs?.map(({ logprob, top }) => [logprob, top.map((each) => each.logprob)]),
  ]);
}

const kvCacheBytes =
  values['kv-cache-mib'] === undefined ? await scarceKvBytes() : Number(values['kv-cache-mib']) * MEBIBYTE;
const options: EngineOptions = {
  maxSequences: sequences,
  maxQueue: 100 * sequences,
  kvCacheBytes,
  ...(await engineRunner(runner, shape)),
};
await using engine = await Engine.load(values.model, options);
const requests = soakRequests(requestCount, { ...LONGEST, vocabularySize: engine.tokenizer.vocabularySize });
const benchmark = new Benchmark({
  name: 'soak-arrivals',
  manifest: new URL('../package.json', import.meta.url),
  packages: ['@switchyard/gpu', '@switchyard/models', '@switchyard/router-kernel', 'koffi'],
  settings: {
    runner: engine.model.runner,
    model: shape ?? values.model ?? 'pocket-dictionary',
    seconds,
    sequences,
    kvCacheBytes,
  },
});

const alone: string[] = [];
for (const request of requests) alone.push(await answerOf(request));

const counts = { answers: 0, givenUp: 0 };
const problems = new Set<string>();
const random = seededRandom('arrivals');
async function oneRequest(): Promise<void> {
  const index = Math.floor(random() * requests.length);
  const request = requests[index];
  if (request === undefined) return;
  const isGivenUp = random() < GIVEN_UP;
  const signal = isGivenUp ? AbortSignal.timeout(Math.ceil(random() * MOST_PATIENCE_MS)) : undefined;
  try {
    const answer = await answerOf(signal === undefined ? request : { ...request, signal });
    counts.answers++;
    if (answer !== alone[index]) problems.add(`request ${index} has another answer alone`);
  } catch (error) {
    if (isGivenUp && error instanceof AbortedError) counts.givenUp++;
    else problems.add(`request ${index}: ${String(error)}`);
  }
}

const resident: number[] = [];
const sampling = setInterval(() => resident.push(process.memoryUsage().rss), SAMPLE_MS);
const started = performance.now();
const end = started + seconds * MS_PER_SECOND;
const open = new Set<Promise<void>>();
while (performance.now() < end) {
  const coming = oneRequest();
  const counted = coming.finally(() => void open.delete(counted));
  open.add(counted);
  const meanMs = open.size < OPEN_SHARE * sequences ? FEW_OPEN_MS : MANY_OPEN_MS;
  await new Promise((resolve) => setTimeout(resolve, -meanMs * Math.log(1 - random())));
  if (open.size >= 2 * OPEN_SHARE * sequences) await Promise.race(open);
}
await Promise.all(open);
clearInterval(sampling);

const median = (samples: readonly number[]): number => medianOf(samples.toSorted((a, b) => a - b));
const quarter = resident.length >> 2;
const growth = median(resident.slice(-quarter)) - median(resident.slice(quarter, 2 * quarter));
if (!(growth <= MOST_GROWTH_BYTES)) problems.add(`resident memory grew by ${growth} bytes`);
const { preemptions, steps } = await engine.stats();
const what = 'every answer beside the one that the same request gets alone, and memory that stays';
const check = await benchmark.check('engine', what, () => [...problems]);
if (check !== null) {
  const { answers, givenUp } = counts;
  const samples = [(answers * MS_PER_SECOND) / (performance.now() - started)];
  const facts = { answers, givenUp, preemptions, steps, residentGrowthBytes: growth };
  benchmark.record({
    name: 'answers',
    contender: 'engine',
    unit: '1/s',
    better: 'higher',
    parameters: {},
    check,
    samples,
    facts,
  });
}
process.exitCode = await writeReport(benchmark, values);
