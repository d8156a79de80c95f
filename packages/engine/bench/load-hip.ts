/**
 * How fast weights come to the GPU: a checkpoint from its folder, and a published size from generated pieces, which are
 * read through the same path from a small file, again and again. Only on Linux, whose account of a process's memory it reads.
 *
 *   node --import=tsx/esm bench/load-hip.ts [FOLDER] [--shape gpt-oss-120b] [--layers N] [--repeats 3] [--device D] [--json]
 *     [--out FILE]
 *
 * Two loads of each come first and do not count: what a load brings is compared, and the page cache and the kernels are warm.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { type DevicePointer, type GpuDriver, downloadBytes, openGpuDriver } from '@switchyard/gpu';
import { Benchmark } from '@switchyard/gpu/benchmark';
import { type Snapshot, openSnapshot, readTensorBytesAsync, tensorByteLength } from '@switchyard/models';
import type { PublishedModel } from '@switchyard/models/testing';
import { measuredGpu } from '../src/bench/bench-runner.ts';
import { loadWeights } from '../src/runners/hip/device-weights.ts';
import { createHipRunner } from '../src/runners/hip/index.ts';
import { type WeightPart, modelParts } from '../src/runners/hip/weight-layout.ts';
import type { LoadingStep } from '../src/runners/load-plan.ts';
import { GENERATED_FILE_BYTES, openGeneratedSnapshot, writeGeneratedFile } from './generated-checkpoint.ts';
import { shapeNamed } from './named-options.ts';
import { writeReport } from './write-report.ts';

const MEMORY_PERIOD_MS = 20;
const KV_BYTES = 2 ** 26;
const COMPARED_BYTES = 2 ** 16;
const GIGA = 1e9;
const MEGA = 1e6;

/** One load. */
interface MeasuredLoad {
  /** From the first byte that is read until all is on the device. */
  readonly weightSeconds: number;
  /** With kernels and workspace. */
  readonly seconds: number;
  /** The most anonymous memory of this process that was not there before. */
  readonly anonymousBytes: number;
}

const { values, positionals } = parseArgs({
  options: {
    shape: { type: 'string' },
    layers: { type: 'string' },
    repeats: { type: 'string', default: '3' },
    device: { type: 'string' },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
  allowPositionals: true,
});
const [folder] = positionals;
const repeats = Number(values.repeats);
if (folder === undefined && values.shape === undefined) {
  throw new TypeError('Give the folder of a checkpoint, or --shape gpt-oss-20b or gpt-oss-120b');
}

/** Anonymous memory of this process that is resident, in bytes. */
function anonymousBytes(): number {
  return 1024 * Number(/RssAnon:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}

async function measureLoad(driver: GpuDriver, snapshot: Snapshot): Promise<MeasuredLoad> {
  const before = anonymousBytes();
  let most = before;
  const look = (): void => void (most = Math.max(most, anonymousBytes()));
  const watch = setInterval(look, MEMORY_PERIOD_MS);
  let firstByte = 0;
  const onProgress = ({ what }: LoadingStep): void => {
    // The last that is heard before anything is read.
    if (what === 'kernels') firstByte = performance.now();
  };
  const started = performance.now();
  try {
    const runner = await createHipRunner({ snapshot, kvCacheBytes: KV_BYTES, driver, onProgress });
    const ended = performance.now();
    look();
    await runner.dispose();
    return {
      weightSeconds: (ended - firstByte) / 1000,
      seconds: (ended - started) / 1000,
      anonymousBytes: most - before,
    };
  } finally {
    clearInterval(watch);
  }
}

/** What differs between the device and the files where a load leaves out the arranging. */
async function uploadProblems(driver: GpuDriver, { weights }: Snapshot): Promise<string[]> {
  const stream = driver.createStream();
  const problems: string[] = [];
  const compare = async (part: WeightPart, pointer: DevicePointer): Promise<void> => {
    const [tensor] = part.tensors;
    if (tensor === undefined || part.form !== 'raw') return;
    const length = Math.min(COMPARED_BYTES, tensorByteLength(tensor));
    for (const begin of [0, tensorByteLength(tensor) - length]) {
      const expected = Buffer.alloc(length);
      await readTensorBytesAsync(tensor, begin, expected);
      const found = await downloadBytes(driver, stream, pointer + BigInt(begin), length);
      if (!expected.equals(new Uint8Array(found))) problems.push(`${tensor.name} from byte ${begin} on`);
    }
  };
  const compareAll = async <Name extends string>(
    parts: Readonly<Record<Name, WeightPart>>,
    at: Readonly<Record<Name, DevicePointer>>,
  ): Promise<void> => {
    for (const name in parts) await compare(parts[name], at[name]);
  };
  try {
    const loaded = await loadWeights(
      driver,
      stream,
      weights,
      () => {},
      () => {},
    );
    const { outer, layers } = modelParts(weights);
    await compareAll(outer, loaded.outer);
    for (const [index, layer] of loaded.layers.entries()) {
      const parts = layers[index];
      if (parts !== undefined) await compareAll(parts, layer);
    }
    loaded.free();
  } finally {
    stream.destroy();
  }
  return problems;
}

/** Loads some times and records what that took. */
async function measureLoads(benchmark: Benchmark, driver: GpuDriver, model: string, snapshot: Snapshot): Promise<void> {
  const loads: MeasuredLoad[] = [];
  const what = 'begin and end of what was loaded from each first tensor with the files, codes not yet arranged';
  const check = await benchmark.check('hip', what, () => uploadProblems(driver, snapshot));
  if (check === null) return;
  // The first one compiles kernels.
  await measureLoad(driver, snapshot);
  for (let repeat = 0; repeat < repeats; repeat++) loads.push(await measureLoad(driver, snapshot));
  const parameters = { model, bytes: snapshot.tensorBytes };
  const about = { contender: 'hip', parameters, check } as const;
  const samplesOf = (of: (load: MeasuredLoad) => number): number[] => loads.map(of);
  benchmark.record({
    ...about,
    name: 'loading weights',
    unit: 's',
    better: 'lower',
    samples: samplesOf(({ weightSeconds }) => weightSeconds),
  });
  benchmark.record({
    ...about,
    name: 'rate of loading weights',
    unit: 'GB/s',
    better: 'higher',
    samples: samplesOf(({ weightSeconds }) => snapshot.tensorBytes / GIGA / weightSeconds),
  });
  benchmark.record({
    ...about,
    name: 'with kernels and workspace',
    unit: 's',
    better: 'lower',
    samples: samplesOf(({ seconds }) => seconds),
  });
  benchmark.record({
    ...about,
    name: 'most anonymous host memory',
    unit: 'MB',
    better: 'lower',
    samples: samplesOf((load) => load.anonymousBytes / MEGA),
  });
}

using driver = openGpuDriver(values.device === undefined ? {} : { device: values.device });
const benchmark = new Benchmark({
  name: 'load-hip',
  manifest: new URL('../package.json', import.meta.url),
  packages: ['@switchyard/gpu', '@switchyard/models', '@switchyard/router-kernel'],
  gpu: measuredGpu(driver),
  settings: { repeats, generatedFileBytes: GENERATED_FILE_BYTES },
});
if (folder !== undefined) {
  using snapshot = await openSnapshot(folder);
  await measureLoads(benchmark, driver, basename(folder), snapshot);
}
const shape = shapeNamed(values.shape);
if (shape !== undefined) {
  await measureGenerated(shape);
}
process.exitCode = await writeReport(benchmark, values);

async function measureGenerated(model: PublishedModel): Promise<void> {
  const temporary = mkdtempSync(join(tmpdir(), 'switchyard-load-'));
  try {
    const path = join(temporary, 'pieces');
    await writeGeneratedFile(path);
    const layers = values.layers === undefined ? undefined : Number(values.layers);
    await using snapshot = await openGeneratedSnapshot(path, model, layers);
    await measureLoads(benchmark, driver, `${model}, generated pieces`, snapshot);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
