/**
 * How fast a runner decodes: every sequence a token a step, each chosen by the runner.
 */

import { DEFAULT_SAMPLING, type SamplingParameters } from '../sampling/parameters.ts';
import { MOST_STEPS_UNDER_WAY, type ModelRunner, type SequenceStep, type SubmittedStep } from '../runners/runner.ts';

/** What is measured. */
export interface DecodeSpeedOptions {
  readonly sequences: number;
  /** Tokens of each sequence before the first step that counts. */
  readonly context: number;
  /** Steps that count, and steps before them that do not. */
  readonly steps: number;
  readonly warmUpSteps: number;
  /** How tokens are chosen; each sequence has a seed of its own. Defaults to greedy. */
  readonly sampling?: SamplingParameters;
  /** Tokens of a step of prefill. Defaults to 512. */
  readonly chunk?: number;
}

/** What was found. Survives JSON. */
export interface DecodeSpeed {
  readonly sequences: number;
  readonly context: number;
  readonly steps: number;
  /** Milliseconds of a step: the one in the middle, the fastest and the slowest. */
  readonly medianMs: number;
  readonly leastMs: number;
  readonly mostMs: number;
  /** Of all sequences together, by the step in the middle. */
  readonly tokensPerSecond: number;
  /** Milliseconds that the context of all sequences took to prefill. */
  readonly prefillMs: number;
}

const GREEDY: SamplingParameters = { ...DEFAULT_SAMPLING, seed: 0, logitBias: [] };

/** Steps on a GPU before any that counts: until JavaScript is compiled, the processor has more to do. */
export const COMPILING_STEPS = 4096;

/** Tokens of a step of prefill where nobody says how many. */
const PREFILL_CHUNK = 512;

/** Times of single steps. */
export interface DecodeTimes {
  /** By the wall clock, from having the tokens of a step to having those of the next; in the order of the steps. */
  readonly milliseconds: readonly number[];
  /** Milliseconds that the context of all sequences took to prefill. */
  readonly prefillMs: number;
  /** Processor time of this process while the steps that count ran, of one core. */
  readonly processorShare: number;
}

/** Measures how long steps take in which every sequence gets a token. */
export async function decodeTimes(
  runner: ModelRunner,
  { sequences: count, context, steps, warmUpSteps, sampling = GREEDY, chunk = PREFILL_CHUNK }: DecodeSpeedOptions,
): Promise<DecodeTimes> {
  const sequences = Array.from({ length: count }, () => runner.createSequence());
  const samplers = sequences.map((_, seed) => runner.openSampler({ ...sampling, seed }, new Int32Array(0)));
  try {
    const began = performance.now();
    for (const [index, sequence] of sequences.entries()) await prefill(runner, sequence, index, context, chunk);
    const prefillMs = performance.now() - began;
    const submit = (step: number): SubmittedStep =>
      runner.submit(
        sequences.map((sequence, index): SequenceStep => {
          const sampler = samplers[index];
          const tokens = step === 0 ? Int32Array.of(tokenAt(index, context, runner.vocabularySize)) : 'sampled';
          return { sequence, tokens, want: 'token', ...(sampler !== undefined && { sampler }) };
        }),
      );
    const milliseconds: number[] = [];
    const all = warmUpSteps + steps;
    const ahead = runner.overlapsSteps ? MOST_STEPS_UNDER_WAY : 1;
    const underWay = Array.from({ length: Math.min(ahead, all) }, (_, step) => submit(step));
    let last = performance.now();
    let cpu = process.cpuUsage();
    for (let step = 0; step < all; step++) {
      if (step === warmUpSteps) cpu = process.cpuUsage();
      const outputs = await underWay.shift()?.outputs;
      const now = performance.now();
      if (step >= warmUpSteps) milliseconds.push(now - last);
      last = now;
      for (const { failure } of outputs ?? []) if (failure !== undefined) throw failure;
      if (step + ahead < all) underWay.push(submit(step + ahead));
    }
    const elapsedMs = milliseconds.reduce((sum, time) => sum + time, 0);
    return { milliseconds, prefillMs, processorShare: processorShare(cpu, elapsedMs) };
  } finally {
    for (const sampler of samplers) runner.closeSampler(sampler);
    for (const sequence of sequences) runner.releaseSequence(sequence);
  }
}

/** One core's share that this process took in so many milliseconds since `since`. */
export function processorShare(since: NodeJS.CpuUsage, elapsedMs: number): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000 / elapsedMs;
}

/** Measures decoding, and tells the middle of it. */
export async function measureDecodeSpeed(runner: ModelRunner, options: DecodeSpeedOptions): Promise<DecodeSpeed> {
  const { sequences, context, steps } = options;
  const { milliseconds, prefillMs } = await decodeTimes(runner, options);
  const times = milliseconds.toSorted((a, b) => a - b);
  const medianMs = times[times.length >> 1] ?? Number.NaN;
  return {
    sequences,
    context,
    steps,
    medianMs,
    leastMs: times[0] ?? Number.NaN,
    mostMs: times.at(-1) ?? Number.NaN,
    tokensPerSecond: (1000 * sequences) / medianMs,
    prefillMs,
  };
}

/**
 * Gives a sequence its first `count` tokens; which ones, its `index` decides. As many pieces are under way as the runner takes.
 *
 * @param chunk tokens of a piece. Defaults to 512.
 */
export async function prefill(
  runner: ModelRunner,
  sequence: number,
  index: number,
  count: number,
  chunk = PREFILL_CHUNK,
): Promise<void> {
  const ahead = runner.overlapsSteps ? MOST_STEPS_UNDER_WAY : 1;
  const underWay: Promise<unknown>[] = [];
  for (let done = 0; done < count; done += chunk) {
    const tokens = Int32Array.from({ length: Math.min(chunk, count - done) }, (_, offset) =>
      tokenAt(index, done + offset, runner.vocabularySize),
    );
    if (underWay.length === ahead) await underWay.shift();
    const { outputs } = runner.submit([{ sequence, tokens, want: 'none' }]);
    // Taken when its turn comes; until then a failure must not count as unhandled.
    outputs.catch(() => undefined);
    underWay.push(outputs);
  }
  await Promise.all(underWay);
}

/** Some token, another one at each place of a sequence. */
export function tokenAt(sequence: number, position: number, vocabulary: number): number {
  return (sequence * 7919 + position * 104_729 + 17) % vocabulary;
}
