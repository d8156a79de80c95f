/**
 * Load on the HTTP server by prompts and answers of given lengths: random token ids, greedy, a new prompt for each request.
 * Now and then a client sends one of a few prompts whose answers the model gave alone before, and compares.
 *
 * Beside it stands what the runner does by itself at that batch and context, as `switchyard bench` measures it. With prompts
 * that interrupt, the load runs a second time while one long prompt after the other arrives.
 */

import { Agent } from 'node:http';
import { Benchmark, type BenchmarkCheck, medianOf, quantile } from '@switchyard/gpu/benchmark';
import { runBench } from '../src/bench/run-bench.ts';
import { DECODE, PREFILL } from '../src/bench/series-names.ts';
import type { EngineOptions } from '../src/options.ts';
import { startLoadServer, stopLoadServer } from './load-server.ts';
import { runnerNamed, shapeNamed } from './named-options.ts';
import { engineRunner } from './engine-runner.ts';
import { type StreamedAnswer, streamContinuation } from './streaming-client.ts';

/** What is sent, and to what. */
export interface LengthsOptions {
  readonly clients: number;
  /** How long a load takes. */
  readonly milliseconds: number;
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** Tokens of the prompts that arrive beside the load; 0 sends none. */
  readonly interruptPromptTokens: number;
  /** Defaults to onnxruntime. */
  readonly runner: string | undefined;
  /** A checkpoint's folder. Defaults to the embedded model. */
  readonly model: string | undefined;
  /** A published shape on the GPU, with weights made there, instead. */
  readonly shape: string | undefined;
}

/** Prompts with answers to compare with, and how often they are sent. */
const SAMPLES = 4;
const SAMPLE_EVERY = 8;
/** Steps of decoding that the runner is measured with. */
const BENCH_STEPS = 64;
const MS_PER_SECOND = 1000;
/** From the end of a prompt that interrupts to the next. */
const INTERRUPT_PAUSE_MS = 500;

interface Load {
  /** Tokens a second while all clients were there. */
  readonly rate: number;
  readonly answers: number;
  readonly compared: number;
  /** Milliseconds from one arrival of text to the next of the same answer, of all answers. */
  readonly gaps: readonly number[];
  readonly firstText: readonly number[];
  readonly interruptions: number;
  readonly problems: readonly string[];
}

/** Runs it. */
export async function loadOfLengths(options: LengthsOptions): Promise<Benchmark> {
  const { clients, milliseconds, promptTokens, answerTokens, interruptPromptTokens } = options;
  const runner = runnerNamed(options.runner ?? 'onnxruntime');
  const shape = shapeNamed(options.shape);
  const context = promptTokens + Math.floor(answerTokens / 2);
  // Before the server starts: a GPU may not hold the model twice.
  const alone = await runBench({
    runner,
    device: undefined,
    model: options.model,
    shape,
    batches: [clients],
    context,
    depths: [],
    steps: BENCH_STEPS,
    prompts: [promptTokens],
    temperature: 0,
  });
  const benchmark = new Benchmark({
    name: 'serve-load, of given lengths',
    manifest: new URL('../package.json', import.meta.url),
    packages: ['@switchyard/gpu', '@switchyard/models', '@switchyard/router-kernel', 'onnxruntime-node', 'hono'],
    gpu: alone.machine.gpu,
    settings: {
      runner: String(alone.settings['runner']),
      model: String(alone.settings['model']),
      seconds: milliseconds / MS_PER_SECOND,
      samples: SAMPLES,
    },
  });
  const engineOptions: EngineOptions = {
    maxSequences: clients + 1,
    // Every prompt is computed, also those that are sent again: requests with a seed share no part of a chunk.
    maxCachedPrefixes: 0,
    ...(await engineRunner(runner, shape)),
  };
  const server = await startLoadServer({ model: options.model, options: engineOptions });
  const agent = new Agent({ keepAlive: true, maxSockets: clients + 1 });
  const target: Target = { ...options, ...server, agent, expected: new Map() };
  for (let index = 0; index < SAMPLES; index++) {
    const prompt = randomPrompt(promptTokens, index, server.vocabularySize);
    target.expected.set(index, (await streamContinuation(server.url, agent, prompt, answerTokens)).text);
  }
  const loads = [{ load: await load(target, 0), interrupt: 0 }];
  if (interruptPromptTokens > 0) {
    loads.push({ load: await load(target, interruptPromptTokens), interrupt: interruptPromptTokens });
  }
  agent.destroy();
  const exitCode = await stopLoadServer(server.child);

  const what = `the length of every answer, and one in ${SAMPLE_EVERY} with the one that the model gives alone`;
  const check = await benchmark.check('server', what, () => [
    ...loads.flatMap(({ load: { problems } }) => problems),
    ...(exitCode === 0 ? [] : [`the server ended with ${exitCode}`]),
  ]);
  if (check === null) return benchmark;
  const medianOfSeries = (wanted: string): number =>
    alone.series.find(({ name }) => name === wanted)?.median ?? Number.NaN;
  const [decoding, prefilling] = [medianOfSeries(DECODE), medianOfSeries(PREFILL)];
  // Of as many answers and their prompts, one after the other.
  const withPrompts = 1 / (1 / decoding + promptTokens / answerTokens / prefilling);
  const sizes = { clients, promptTokens, answerTokens };
  benchmark.record({
    name: 'decoding',
    contender: 'the runner by itself',
    unit: 'tokens/s',
    better: 'higher',
    parameters: { clients, context },
    check,
    samples: [decoding],
  });
  benchmark.record({
    name: 'answers with their prompts',
    contender: 'the runner by itself',
    unit: 'tokens/s',
    better: 'higher',
    parameters: { ...sizes, context },
    check,
    samples: [withPrompts],
    facts: { prefillTokensPerSecond: prefilling },
  });
  for (const { load, interrupt } of loads) {
    const parameters = interrupt === 0 ? sizes : { ...sizes, interruptPromptTokens: interrupt };
    record(benchmark, check, parameters, load, { decoding, withPrompts });
  }
  return benchmark;
}

interface Target extends LengthsOptions {
  readonly url: string;
  readonly vocabularySize: number;
  readonly agent: Agent;
  /** Texts that the model gives alone, by the number of their prompts. */
  readonly expected: Map<number, string>;
}

/** Clients that ask without a pause until the time is over, beside one that sends long prompts where those have tokens. */
async function load(target: Target, interruptPromptTokens: number): Promise<Load> {
  const { url, agent, clients, milliseconds, promptTokens, answerTokens, vocabularySize, expected } = target;
  const start = performance.now();
  const end = start + milliseconds;
  const answers: (StreamedAnswer & { readonly began: number; readonly ended: number })[] = [];
  const problems: string[] = [];
  let [compared, interruptions] = [0, 0];
  const ask = async (prompt: readonly number[], tokens: number): Promise<StreamedAnswer | null> => {
    try {
      const answer = await streamContinuation(url, agent, prompt, tokens);
      if (answer.tokens !== tokens) problems.push(`an answer of ${answer.tokens} tokens, not ${tokens}`);
      return answer;
    } catch (error) {
      problems.push(String(error));
      return null;
    }
  };
  const client = async (index: number): Promise<void> => {
    for (let turn = index; performance.now() < end; turn++) {
      const isSample = turn % SAMPLE_EVERY === 0;
      const number = isSample ? (turn / SAMPLE_EVERY) % SAMPLES : SAMPLES + turn * clients + index;
      const began = performance.now();
      const answer = await ask(randomPrompt(promptTokens, number, vocabularySize), answerTokens);
      if (answer === null) return;
      answers.push({ ...answer, began, ended: performance.now() });
      if (!isSample) continue;
      compared++;
      if (answer.text !== expected.get(number)) problems.push(`the answer to prompt ${number} is another one alone`);
    }
  };
  const interrupter = async (): Promise<void> => {
    if (interruptPromptTokens === 0) return;
    while (performance.now() < end) {
      interruptions++;
      // A number that no client's prompt has.
      await ask(randomPrompt(interruptPromptTokens, -interruptions, vocabularySize), 1);
      await new Promise((resolve) => setTimeout(resolve, INTERRUPT_PAUSE_MS));
    }
  };
  await Promise.all([interrupter(), ...Array.from({ length: clients }, (_, index) => client(index))]);
  // Of an answer that goes on after the end, the share of its time before counts.
  const tokens = answers.reduce(
    (sum, { began, ended, tokens: count }) => sum + (count * (Math.min(ended, end) - began)) / (ended - began),
    0,
  );
  return {
    rate: (tokens * MS_PER_SECOND) / milliseconds,
    answers: answers.length,
    compared,
    gaps: answers.flatMap(({ arrivals }) => arrivals.slice(1).map((time, index) => time - (arrivals[index] ?? time))),
    firstText: answers.map(({ firstText }) => firstText),
    interruptions,
    problems: [...new Set(problems)],
  };
}

function record(
  benchmark: Benchmark,
  check: BenchmarkCheck,
  parameters: Readonly<Record<string, number>>,
  { rate, answers, compared, gaps, firstText, interruptions }: Load,
  byItself: { readonly decoding: number; readonly withPrompts: number },
): void {
  const about = { contender: 'server', parameters, check } as const;
  benchmark.record({
    ...about,
    name: 'answers',
    unit: 'tokens/s',
    better: 'higher',
    samples: [rate],
    facts: { answers, compared, interruptions },
  });
  for (const [name, alone] of [
    ['share of the runner decoding by itself', byItself.decoding],
    ['share of the runner by itself with the prompts', byItself.withPrompts],
  ] as const) {
    benchmark.record({ ...about, name, unit: 'share', better: 'higher', samples: [rate / alone] });
  }
  benchmark.record({ ...about, name: 'time between arrivals of text', unit: 'ms', better: 'lower', samples: gaps });
  const sorted = gaps.toSorted((a, b) => a - b);
  const spread = quantile(sorted, 0.99) / medianOf(sorted);
  benchmark.record({
    ...about,
    name: 'p99 over median of that time',
    unit: 'times',
    better: 'lower',
    samples: [spread],
  });
  benchmark.record({ ...about, name: 'time to the first text', unit: 'ms', better: 'lower', samples: firstText });
}

/** Token ids that the number alone decides. */
function randomPrompt(tokens: number, number: number, vocabularySize: number): number[] {
  let state = Math.imul(number + 1, 0x9e3779b1) ^ 0x5bd1e995;
  return Array.from({ length: tokens }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % vocabularySize;
  });
}
