/** `switchyard bench`. */

import { writeFile } from 'node:fs/promises';
import { benchmarkJson, benchmarkTable } from '@switchyard/gpu/benchmark';
import { decodePlot } from '../bench/decode-plot.ts';
import { runBench } from '../bench/run-bench.ts';
import { RUNNER_NAMES } from '../runners/runner-choice.ts';
import { type OptionValues, UsageError } from './parse-options.ts';
import type { Terminal } from './terminal.ts';

const SHAPES = ['gpt-oss-20b', 'gpt-oss-120b'] as const;
const BATCHES = '1,4,16';
const CONTEXT = 1024;
const STEPS = 128;
const PROMPTS = '1024';
const MOST_SEQUENCES = 4096;
const MOST_TOKENS = 131_072;

/** Throws UncheckedBenchmarkError where the runner's answers are wrong: nothing is timed then. */
export async function benchCommand(values: OptionValues, terminal: Terminal): Promise<void> {
  const runner = values.choice('runner', RUNNER_NAMES);
  if (runner === undefined) throw new UsageError('--runner is missing · found none · name the one to measure');
  const shape = values.choice('shape', SHAPES);
  if (shape !== undefined && runner !== 'hip') {
    throw new UsageError(`--shape needs --runner hip · found --runner ${runner} · only it makes weights of its own`);
  }
  if (shape !== undefined && values.text('model') !== undefined) {
    throw new UsageError('--shape stands for a checkpoint · found --model too · leave one of them out');
  }
  const depth = values.text('depth');
  const report = await runBench({
    runner,
    device: values.text('device'),
    model: values.text('model'),
    shape,
    batches: numbersOf('batch', values.text('batch') ?? BATCHES, MOST_SEQUENCES),
    context: values.number('context') ?? CONTEXT,
    depths: depth === undefined ? [] : numbersOf('depth', depth, MOST_TOKENS),
    steps: values.number('steps') ?? STEPS,
    prompts: numbersOf('prompt', values.text('prompt') ?? PROMPTS, MOST_TOKENS),
    temperature: values.number('temperature') ?? 0,
  });
  const out = values.text('out');
  if (out !== undefined) await writeFile(out, benchmarkJson(report));
  const plot = values.text('plot');
  if (plot !== undefined) await writeFile(plot, decodePlot(report));
  terminal.output.write(values.flag('json') ? benchmarkJson(report) : benchmarkTable(report));
}

function numbersOf(name: string, text: string, most: number): number[] {
  return text.split(',').map((word) => {
    const number = word.trim() === '' ? Number.NaN : Number(word);
    if (Number.isSafeInteger(number) && number >= 1 && number <= most) return number;
    throw new UsageError(`--${name} is not valid · found ${JSON.stringify(text)} · give integers from 1 to ${most}`);
  });
}
