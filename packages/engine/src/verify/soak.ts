/**
 * Many steps of decoding, one after another: whether answers stay what they are and memory stays what it was.
 */

import type { ModelRunner } from '../runners/runner.ts';
import type { GoldenPrompt } from '../runners/suite/index.ts';
import { DEFAULT_SAMPLING, type SamplingParameters } from '../sampling/parameters.ts';

/** What is run. */
export interface SoakOptions {
  /** Steps of all sequences together, at least. */
  readonly steps: number;
  readonly golden: readonly GoldenPrompt[];
  /** Bytes of device memory that are free; null where the runner has no device. */
  readonly deviceFreeBytes: (() => number) | null;
  readonly onRound?: (done: { readonly steps: number; readonly wrongAnswers: number }) => void;
}

/** Memory after a round. */
export interface SoakSample {
  readonly steps: number;
  readonly deviceFreeBytes: number | null;
  readonly residentBytes: number;
}

/** What was found. Survives JSON. */
export interface SoakReport {
  readonly steps: number;
  readonly answers: number;
  /** Answers that were not those of the reference, or for drawn ones of the first round. */
  readonly wrongAnswers: number;
  readonly samples: readonly SoakSample[];
  /** Bytes that the device's free memory shrank by from the second quarter of the rounds to the last, by their medians. */
  readonly deviceGrowthBytes: number | null;
  /** The same of the process's resident memory. */
  readonly residentGrowthBytes: number;
  readonly passed: boolean;
}

const GREEDY: SamplingParameters = { ...DEFAULT_SAMPLING, seed: 0, logitBias: [] };
const DRAWN: SamplingParameters = { ...GREEDY, temperature: 0.9, topP: 0.95, topK: 40 };
/** Sequences beside the greedy ones, whose tokens are drawn. */
const DRAWN_SEQUENCES = 3;
/** JavaScript's own memory comes and goes by so much. */
const MOST_RESIDENT_GROWTH = 32 * 2 ** 20;

interface Line {
  readonly ids: Int32Array;
  readonly length: number;
  readonly parameters: SamplingParameters;
}

/** Runs rounds of the golden prompts, greedily and drawn, on a runner that stays the caller's. */
export async function soak(runner: ModelRunner, options: SoakOptions): Promise<SoakReport> {
  const { golden, deviceFreeBytes, onRound = () => {} } = options;
  const lines: readonly Line[] = [
    ...golden.map(({ ids, greedy }) => ({ ids: Int32Array.from(ids), length: greedy.length, parameters: GREEDY })),
    ...golden.slice(0, DRAWN_SEQUENCES).map(({ ids, greedy }, seed) => ({
      ids: Int32Array.from(ids),
      length: greedy.length,
      parameters: { ...DRAWN, seed },
    })),
  ];
  const expected: (readonly number[] | undefined)[] = golden.map(({ greedy }) => greedy);
  const samples: SoakSample[] = [];
  let [steps, answers, wrongAnswers] = [0, 0, 0];
  while (steps < options.steps) {
    const round = await answerAll(runner, lines);
    steps += round.steps;
    for (const [index, answer] of round.answers.entries()) {
      answers++;
      const right = (expected[index] ??= answer);
      if (answer.length !== right.length || answer.some((token, at) => token !== right[at])) wrongAnswers++;
    }
    samples.push({ steps, deviceFreeBytes: deviceFreeBytes?.() ?? null, residentBytes: process.memoryUsage.rss() });
    onRound({ steps, wrongAnswers });
  }
  const residentGrowthBytes = growth(samples.map(({ residentBytes }) => residentBytes));
  const deviceGrowthBytes =
    deviceFreeBytes === null ? null : growth(samples.map(({ deviceFreeBytes: free }) => -(free ?? 0)));
  return {
    steps,
    answers,
    wrongAnswers,
    samples,
    deviceGrowthBytes,
    residentGrowthBytes,
    passed: wrongAnswers === 0 && (deviceGrowthBytes ?? 0) <= 0 && residentGrowthBytes <= MOST_RESIDENT_GROWTH,
  };
}

/** Answers every line, all side by side. */
async function answerAll(
  runner: ModelRunner,
  lines: readonly Line[],
): Promise<{ readonly steps: number; readonly answers: readonly (readonly number[])[] }> {
  const open = lines.map((line) => ({
    ...line,
    sequence: runner.createSequence(),
    sampler: runner.openSampler(line.parameters, line.ids),
    answer: [] as number[],
  }));
  let steps = 0;
  try {
    for (;;) {
      const going = open.filter(({ answer, length }) => answer.length < length);
      if (going.length === 0) break;
      const outputs = await runner.submit(
        going.map(({ sequence, sampler, ids, answer }) => ({
          sequence,
          sampler,
          tokens: answer.length === 0 ? ids : 'sampled',
          want: 'token',
        })),
      ).outputs;
      steps++;
      for (const [index, { token, failure }] of outputs.entries()) {
        if (failure !== undefined) throw failure;
        going[index]?.answer.push(token);
      }
    }
  } finally {
    for (const { sequence, sampler } of open) {
      runner.closeSampler(sampler);
      runner.releaseSequence(sequence);
    }
  }
  return { steps, answers: open.map(({ answer }) => answer) };
}

/** From the median of the second quarter to that of the last; the first warms up. */
function growth(values: readonly number[]): number {
  const quarter = (index: number): number => {
    const part = values.slice(
      Math.floor((index * values.length) / 4),
      Math.max(1, Math.ceil(((index + 1) * values.length) / 4)),
    );
    return part.toSorted((a, b) => a - b)[part.length >> 1] ?? 0;
  };
  return quarter(3) - quarter(1);
}
