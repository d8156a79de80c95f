/**
 * A runner's logits beside those of Hugging Face transformers in f32, on the same machine and checkpoint: of a prompt in one
 * piece, and of its last tokens one by one. Ends with exit code 1 where they are further apart than the target.
 *
 *   node --import=tsx/esm bench/compare-transformers.ts CHECKPOINT [--runner hip] [--tokens 300] [--python python3]
 *     [--json] [--out FILE]
 *
 * Python needs torch and transformers. `packages/models/scripts/write-checkpoint.ts --layers 4` writes checkpoints of the
 * published shapes with random weights, whose logits need less memory than the whole model's.
 */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { Benchmark } from '@switchyard/gpu/benchmark';
import { openSnapshot } from '@switchyard/models';
import { SILENT_LOGGER } from '../src/logger.ts';
import { createRunner } from '../src/runners/create-runner.ts';
import type { RunnerName } from '../src/runners/runner-choice.ts';
import type { RunnerModuleOptions } from '../src/runners/runner-module.ts';
import type { ModelRunner } from '../src/runners/runner.ts';
import { RUNNERS } from '../src/runners/runner-table.ts';
import { writeReport } from './write-report.ts';

type Activations = RunnerModuleOptions['activations'];

/** The largest relative RMS of all logits, by what the activations are. */
const LARGEST_ERROR: Readonly<Record<Activations, number>> = { bf16: 1e-2, exact: 2e-3 };
/** Tokens at the end that are also computed one by one. */
const ONE_BY_ONE = 16;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runner: { type: 'string', default: 'hip' },
    tokens: { type: 'string', default: '300' },
    python: { type: 'string', default: 'python3' },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});

/** sqrt(sum of (found - wanted)² / sum of wanted²). */
function relativeError(found: Float32Array, wanted: Float32Array): number {
  let apart = 0;
  let all = 0;
  for (const [index, value] of wanted.entries()) {
    apart += (value - (found[index] ?? Number.NaN)) ** 2;
    all += value ** 2;
  }
  return Math.sqrt(apart / all);
}

/** The logits of all tokens: those before the last ones in one piece, the last one by one, or all in one piece. */
async function logitsOf(runner: ModelRunner, ids: Int32Array, alone: number): Promise<Float32Array> {
  const width = runner.vocabularySize;
  const logits = new Float32Array(ids.length * width);
  const sequence = runner.createSequence();
  const pieces = [ids.subarray(0, ids.length - alone)];
  for (let at = ids.length - alone; at < ids.length; at++) pieces.push(ids.subarray(at, at + 1));
  let done = 0;
  for (const tokens of pieces) {
    const [output] = await runner.submit([{ sequence, tokens, want: 'all' }]).outputs;
    if (output?.failure !== undefined) throw output.failure;
    logits.set(output?.logits ?? [], done * width);
    done += tokens.length;
  }
  runner.releaseSequence(sequence);
  return logits;
}

async function main(): Promise<number> {
  const [checkpoint] = positionals;
  if (checkpoint === undefined) throw new RangeError('Name a checkpoint folder.');
  const name = values.runner as RunnerName;
  using snapshot = await openSnapshot(checkpoint);
  const { config, tokenizer } = snapshot;
  const tokens = Number(values.tokens);
  const ids = Int32Array.from({ length: tokens }, (_, at) => (at * 7919 + 11) % tokenizer.vocabularySize);
  const benchmark = new Benchmark({
    name: 'compare-transformers',
    manifest: new URL('../package.json', import.meta.url),
    settings: { runner: name, tokens, layers: config.layers, oneByOne: ONE_BY_ONE },
  });

  const folder = await mkdtemp(join(tmpdir(), 'switchyard-transformers-'));
  let wanted: Float32Array;
  try {
    const [idsFile, out] = [join(folder, 'ids.json'), join(folder, 'logits.f32')];
    await writeFile(idsFile, JSON.stringify([...ids]));
    const script = fileURLToPath(new URL('transformers_logits.py', import.meta.url));
    const { stdout } = await promisify(execFile)(values.python, [script, checkpoint, idsFile, out]);
    const versions = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, string>;
    for (const [key, version] of Object.entries(versions)) benchmark.addVersion(`transformers: ${key}`, version);
    const bytes = await readFile(out);
    wanted = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }

  for (const activations of ['exact', 'bf16'] as const) {
    const runner = await createRunner(
      { name },
      {
        snapshot,
        expertPrecision: 'exact',
        activations,
        threads: undefined,
        router: name === 'hip' ? 'hip' : 'cpu',
        device: undefined,
        kvCacheBytes: 2 * RUNNERS[name].kvBytes(config, activations)(tokens),
        logger: SILENT_LOGGER,
        onProgress: () => {},
        runnerOptions: undefined,
      },
    );
    try {
      for (const alone of [0, ONE_BY_ONE]) {
        const error = relativeError(await logitsOf(runner, ids, alone), wanted);
        const how = alone === 0 ? 'in one piece' : `the last ${alone} one by one`;
        const most = LARGEST_ERROR[activations];
        const check = await benchmark.check(`${name}, ${activations}, ${how}`, `relative RMS at most ${most}`, () =>
          error <= most ? [] : [`relative RMS ${error}`],
        );
        if (check === null) continue;
        const parameters = { activations, prompt: how };
        const about = { name: 'relative RMS of the logits', unit: '1', better: 'lower' } as const;
        benchmark.record({ ...about, contender: name, parameters, check, samples: [error] });
      }
    } finally {
      await runner.dispose();
    }
  }
  return writeReport(benchmark, values);
}

process.exitCode = await main();
