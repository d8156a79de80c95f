/** The embedded checkpoint on the ONNX Runtime runner, alone and through the engine: load, prefill, decode, batches. */

import { embeddedCheckpointPath, openSnapshot } from '@switchyard/models';
import type { Benchmark, BenchmarkCheck, BenchmarkContender } from '@switchyard/gpu/benchmark';
import { Engine } from '../src/engine.ts';
import type { LogitsRunner } from '../src/runners/logits-runner.ts';
import { createOrtRunner } from '../src/runners/ort/index.ts';
import { measureLoad } from '../test/engine/load-memory.ts';
import { argmax, reference } from '../test/golden/reference.ts';
import { type ReferencePrompt, wrongAnswers } from './reference-answers.ts';

const DECODE_TOKENS = 128;
const PREFILL_TOKENS = 256;
const BATCH_STEPS = 16;
/** Logits of a prompt computed in another way than the reference was differ by less. */
const LOGIT_TOLERANCE = 5e-3;
const GREEDY_CHECK = 'greedy tokens with those that transformers computed in f32, in every round again';

/** How often each is measured. A prefill is short: its first rounds find its code not yet compiled by the engine. */
const EFFORT = {
  full: { rounds: 9, loads: 3, prefill: { rounds: 40, warmUpRounds: 8 }, batches: [8, 32] },
  quick: { rounds: 1, loads: 1, prefill: { rounds: 1, warmUpRounds: 0 }, batches: [2] },
} as const;
type Effort = (typeof EFFORT)['full' | 'quick'];

/** All figures of the embedded model. */
export async function benchmarkEmbeddedModel(benchmark: Benchmark, quick: boolean): Promise<void> {
  const effort = EFFORT[quick ? 'quick' : 'full'];
  using snapshot = await openSnapshot(embeddedCheckpointPath());
  await using runner = await createOrtRunner({ snapshot, router: 'cpu' });
  await using engine = await Engine.load(undefined, { router: 'cpu' });
  const checks = {
    runner: await benchmark.check('runner', GREEDY_CHECK, () => wrongAnswers((prompt) => runnerAnswer(runner, prompt))),
    engine: await benchmark.check('engine', GREEDY_CHECK, () => wrongAnswers((prompt) => engineAnswer(engine, prompt))),
  };
  await benchmarkLoad(benchmark, checks.engine, effort);
  await benchmarkDecode(benchmark, { runner, engine, checks, effort });
  await benchmarkPrefill(benchmark, runner, effort);
  for (const size of effort.batches) await benchmarkBatch(benchmark, runner, checks.runner, size, effort);
  if (checks.runner === null) return;
  const megabytes = runner.memory.weightBytes / 1e6;
  const about = { name: 'weights in memory', contender: 'runner', unit: 'MB', better: 'lower' } as const;
  benchmark.record({ ...about, check: checks.runner, samples: [megabytes] });
}

async function runnerAnswer(runner: LogitsRunner, { ids, greedy }: ReferencePrompt): Promise<readonly number[]> {
  const sequence = runner.createSequence();
  const [first] = await runner.forward([{ sequence, tokens: Int32Array.from(ids) }]);
  const answer = [argmax(first?.logits ?? new Float32Array(1))];
  while (answer.length < greedy.length) answer.push(await nextToken(runner, sequence, answer));
  runner.releaseSequence(sequence);
  return answer;
}

async function nextToken(runner: LogitsRunner, sequence: number, answer: readonly number[]): Promise<number> {
  const [output] = await runner.forward([{ sequence, tokens: Int32Array.of(answer.at(-1) ?? 0) }]);
  return argmax(output?.logits ?? new Float32Array(1));
}

async function engineAnswer(engine: Engine, { ids, greedy }: ReferencePrompt): Promise<readonly number[]> {
  const options = { maxTokens: greedy.length, temperature: 0, ignoreEndTokens: true, reusePrefix: false };
  return (await engine.complete({ promptIds: ids, ...options })).ids;
}

/** In processes of their own, of the built package. */
async function benchmarkLoad(benchmark: Benchmark, check: BenchmarkCheck | null, { loads }: Effort): Promise<void> {
  if (check === null) return;
  const found = [];
  for (let round = 0; round < loads; round++) found.push(await measureLoad());
  const about = { contender: 'engine', better: 'lower', check } as const;
  benchmark.record({ ...about, name: 'load', unit: 'ms', samples: found.map(({ milliseconds }) => milliseconds) });
  const samples = found.map(({ megabytes }) => megabytes);
  benchmark.record({ ...about, name: 'resident memory that loading takes', unit: 'MB', samples });
}

interface DecodeMeasurement {
  readonly runner: LogitsRunner;
  readonly engine: Engine;
  readonly checks: { readonly runner: BenchmarkCheck | null; readonly engine: BenchmarkCheck | null };
  readonly effort: Effort;
}

/** One sequence, the reference's first prompt and on: the runner alone, and with scheduler, sampler, worker and reader. */
async function benchmarkDecode(
  benchmark: Benchmark,
  { runner, engine, checks, effort }: DecodeMeasurement,
): Promise<void> {
  const prompt = firstPrompt();
  const parts = new StepParts();
  const runnerContender: BenchmarkContender = {
    name: 'runner',
    check: checks.runner,
    sample: async (round) => {
      const sequence = runner.createSequence();
      const [first] = await runner.forward([{ sequence, tokens: Int32Array.from(prompt.ids) }]);
      const answer = [argmax(first?.logits ?? new Float32Array(1))];
      const before = { ...runner.timings };
      const start = performance.now();
      for (let step = 0; step < DECODE_TOKENS; step++) answer.push(await nextToken(runner, sequence, answer));
      const elapsed = performance.now() - start;
      runner.releaseSequence(sequence);
      demandReference(answer, prompt);
      if (round >= 0) parts.add(elapsed, before, runner.timings);
      return (DECODE_TOKENS / elapsed) * 1000;
    },
  };
  const engineContender: BenchmarkContender = {
    name: 'engine',
    check: checks.engine,
    sample: async () => {
      const options = { maxTokens: DECODE_TOKENS + 1, ignoreEndTokens: true, reusePrefix: false };
      const { ids, timings } = await engine.complete({ promptIds: prompt.ids, ...options });
      demandReference(ids, prompt);
      return timings.decodeTokensPerSecond;
    },
  };
  await benchmark.measure({
    name: 'decode, one sequence',
    unit: 'tokens/s',
    better: 'higher',
    parameters: { tokens: DECODE_TOKENS },
    rounds: effort.rounds,
    contenders: [runnerContender, engineContender],
  });
  if (checks.runner !== null) parts.record(benchmark, checks.runner);
}

/** Where the runner's time goes, a sample a round. */
class StepParts {
  readonly #milliseconds = {
    'ONNX Runtime': [] as number[],
    'expert kernel': [] as number[],
    router: [] as number[],
    'plan, combine, sampling and the rest': [] as number[],
  };
  readonly #shares: number[] = [];

  add(elapsed: number, before: LogitsRunner['timings'], after: LogitsRunner['timings']): void {
    const [compute, experts, router] = [
      after.compute - before.compute,
      after.experts - before.experts,
      after.router - before.router,
    ];
    const rest = elapsed - compute - experts - router;
    this.#milliseconds['ONNX Runtime'].push(compute / DECODE_TOKENS);
    this.#milliseconds['expert kernel'].push(experts / DECODE_TOKENS);
    this.#milliseconds.router.push(router / DECODE_TOKENS);
    this.#milliseconds['plan, combine, sampling and the rest'].push(rest / DECODE_TOKENS);
    this.#shares.push((100 * (elapsed - compute - experts)) / elapsed);
  }

  record(benchmark: Benchmark, check: BenchmarkCheck): void {
    const about = { contender: 'runner', better: 'lower', check } as const;
    for (const [part, samples] of Object.entries(this.#milliseconds)) {
      benchmark.record({ ...about, name: 'decode step', unit: 'ms', parameters: { part }, samples });
    }
    const name = 'share of router, plan, combine, sampling and the rest in a decode step';
    benchmark.record({ ...about, name, unit: '%', samples: this.#shares });
  }
}

/** One prompt of 256 tokens in one step. */
async function benchmarkPrefill(benchmark: Benchmark, runner: LogitsRunner, { prefill }: Effort): Promise<void> {
  const tokens = Int32Array.from({ length: PREFILL_TOKENS }, (_, index) => reference[index % 7]?.ids[index >> 3] ?? 1);
  const stepwise = await lastLogits(runner, tokens, 1);
  const isRight = (logits: Float32Array): boolean =>
    logits.length === stepwise.length &&
    logits.every((value, index) => Math.abs(value - (stepwise[index] ?? 0)) < LOGIT_TOLERANCE);
  const what = `the last logits with those of single steps, within ${LOGIT_TOLERANCE}, in every round again`;
  const check = await benchmark.check('prefill', what, async () =>
    isRight(await lastLogits(runner, tokens, tokens.length)) ? [] : ['a prefill and single steps differ'],
  );
  const sample = async (): Promise<number> => {
    const start = performance.now();
    const logits = await lastLogits(runner, tokens, tokens.length);
    const elapsed = performance.now() - start;
    if (!isRight(logits)) throw new Error('A prefill and single steps give different logits: no figure counts');
    return (tokens.length / elapsed) * 1000;
  };
  await benchmark.measure({
    name: 'prefill',
    unit: 'tokens/s',
    better: 'higher',
    parameters: { tokens: PREFILL_TOKENS },
    ...prefill,
    contenders: [{ name: 'runner', check, sample }],
  });
}

async function lastLogits(runner: LogitsRunner, tokens: Int32Array, piece: number): Promise<Float32Array> {
  const sequence = runner.createSequence();
  let logits: Float32Array = new Float32Array(0);
  for (let start = 0; start < tokens.length; start += piece) {
    const [output] = await runner.forward([{ sequence, tokens: tokens.subarray(start, start + piece) }]);
    logits = output?.logits ?? logits;
  }
  runner.releaseSequence(sequence);
  return logits;
}

/** Many sequences, one token each a step; the tokens are those of the reference's greedy answers. */
async function benchmarkBatch(
  benchmark: Benchmark,
  runner: LogitsRunner,
  check: BenchmarkCheck | null,
  size: number,
  { rounds }: Effort,
): Promise<void> {
  const prompts = Array.from({ length: size }, (_, index) => reference[index % reference.length] ?? firstPrompt());
  const sequences: number[] = [];
  for (const { ids } of prompts) {
    const sequence = runner.createSequence();
    await runner.forward([{ sequence, tokens: Int32Array.from(ids), logits: 'none' }]);
    sequences.push(sequence);
  }
  let step = 0;
  const takeStep = async (): Promise<number> => {
    const batch = sequences.map((sequence, index) => {
      const greedy = prompts[index]?.greedy ?? [];
      return { sequence, tokens: Int32Array.of(greedy[step % greedy.length] ?? 0) };
    });
    const start = performance.now();
    const outputs = await runner.forward(batch);
    const elapsed = performance.now() - start;
    step += 1;
    for (const [index, { logits }] of outputs.entries()) {
      const expected = prompts[index]?.greedy[step];
      if (expected !== undefined && argmax(logits) !== expected) {
        throw new Error('An answer in a batch is not the reference answer: no figure counts');
      }
    }
    return elapsed;
  };
  const sample = async (): Promise<number> => {
    let elapsed = 0;
    for (let count = 0; count < BATCH_STEPS; count++) elapsed += await takeStep();
    return ((BATCH_STEPS * size) / elapsed) * 1000;
  };
  await benchmark.measure({
    name: 'decode, many sequences',
    unit: 'tokens/s',
    better: 'higher',
    parameters: { sequences: size },
    rounds,
    contenders: [{ name: 'runner', check, sample }],
  });
  for (const sequence of sequences) runner.releaseSequence(sequence);
}

function demandReference(answer: readonly number[], { greedy }: ReferencePrompt): void {
  if (answer.slice(0, greedy.length).join() === greedy.join()) return;
  throw new Error('The answer is not the reference answer: no figure counts');
}

function firstPrompt(): ReferencePrompt {
  const [prompt] = reference;
  if (prompt === undefined) throw new Error('The reference has no prompts');
  return prompt;
}
