/**
 * Writes a checkpoint of a published shape with random weights.
 *
 *   node --import=tsx packages/models/scripts/write-checkpoint.ts <folder>
 *     [--model gpt-oss-20b|gpt-oss-120b] [--layout huggingface|original] [--layers <n>] [--seed <n>]
 */

import { parseArgs } from 'node:util';
import { planPublishedCheckpoint, publishedSizes, writeSyntheticCheckpoint } from '../src/testing/index.ts';

const USAGE =
  'Usage: write-checkpoint <folder> [--model gpt-oss-20b|gpt-oss-120b] [--layout huggingface|original] [--layers <n>] [--seed <n>]';

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((known) => known === value);
  if (found === undefined) throw new RangeError(`--${option} is ${value}. Take one of ${allowed.join(', ')}.`);
  return found;
}

function wholeNumber(option: string, value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new RangeError(`--${option} is ${value}. Take a whole number.`);
  return Number(value);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      model: { type: 'string', default: 'gpt-oss-20b' },
      layout: { type: 'string', default: 'huggingface' },
      layers: { type: 'string' },
      seed: { type: 'string', default: '1' },
    },
  });
  const [folder, ...rest] = positionals;
  if (folder === undefined || rest.length > 0) throw new RangeError(USAGE);
  const checkpoint = {
    model: oneOf('model', values.model, ['gpt-oss-20b', 'gpt-oss-120b'] as const),
    layout: oneOf('layout', values.layout, ['huggingface', 'original'] as const),
  };
  const layers =
    values.layers === undefined ? publishedSizes[checkpoint.model].layers : wholeNumber('layers', values.layers);
  const { files, tensorBytes } = planPublishedCheckpoint({ ...checkpoint, layers });
  console.log(`${checkpoint.model}, ${layers} layers: ${files.length} files of weights, ${gigabytes(tensorBytes)}`);
  const started = performance.now();
  const { path } = await writeSyntheticCheckpoint(folder, {
    ...checkpoint,
    layers,
    seed: wholeNumber('seed', values.seed),
    onFile: (name, bytes) => console.log(`  ${name}  ${gigabytes(bytes)}`),
  });
  console.log(`Written in ${((performance.now() - started) / 1000).toFixed(1)} s. Open ${path}`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
