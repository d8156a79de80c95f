/**
 * How fast a runner decodes: every sequence a token a step, each chosen by the runner.
 */

import { DEFAULT_SAMPLING } from '../sampling/parameters.ts';
import type { ModelRunner, SequenceStep } from '../runners/runner.ts';

/** What is measured. */
export interface DecodeSpeedOptions {
  readonly sequences: number;
  /** Tokens of each sequence before the first step that counts. */
  readonly context: number;
  /** Steps that count, and steps before them that do not. */
  readonly steps: number;
  readonly warmUpSteps: number;
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

/** Tokens of a step of prefill. */
const PREFILL_CHUNK = 512;

/** Measures by the wall clock, from handing over a step to having its tokens. */
export async function measureDecodeSpeed(runner: ModelRunner, options: DecodeSpeedOptions): Promise<DecodeSpeed> {
  const { sequences: count, context, steps, warmUpSteps } = options;
  const sequences = Array.from({ length: count }, () => runner.createSequence());
  const sampler = runner.openSampler({ ...DEFAULT_SAMPLING, seed: 0, logitBias: [] }, new Int32Array(0));
  try {
    const began = performance.now();
    for (const [index, sequence] of sequences.entries()) {
      for (let done = 0; done < context; done += PREFILL_CHUNK) {
        const tokens = Int32Array.from({ length: Math.min(PREFILL_CHUNK, context - done) }, (_, offset) =>
          tokenAt(index, done + offset, runner.vocabularySize),
        );
        await runner.submit([{ sequence, tokens, want: 'none' }]).outputs;
      }
    }
    const prefillMs = performance.now() - began;
    let tokens = sequences.map((_, index) => tokenAt(index, context, runner.vocabularySize));
    const times: number[] = [];
    for (let step = 0; step < warmUpSteps + steps; step++) {
      const batch = sequences.map((sequence, index): SequenceStep => {
        return { sequence, tokens: Int32Array.of(tokens[index] ?? 0), want: 'token', sampler };
      });
      const started = performance.now();
      const outputs = await runner.submit(batch).outputs;
      if (step >= warmUpSteps) times.push(performance.now() - started);
      for (const { failure } of outputs) if (failure !== undefined) throw failure;
      tokens = outputs.map(({ token }) => token);
    }
    times.sort((a, b) => a - b);
    const medianMs = times[Math.floor(times.length / 2)] ?? Number.NaN;
    return {
      sequences: count,
      context,
      steps,
      medianMs,
      leastMs: times[0] ?? Number.NaN,
      mostMs: times.at(-1) ?? Number.NaN,
      tokensPerSecond: (1000 * count) / medianMs,
      prefillMs,
    };
  } finally {
    runner.closeSampler(sampler);
    for (const sequence of sequences) runner.releaseSequence(sequence);
  }
}

/** Some token, another one at each place. */
function tokenAt(sequence: number, position: number, vocabulary: number): number {
  return (sequence * 7919 + position * 104_729 + 17) % vocabulary;
}
