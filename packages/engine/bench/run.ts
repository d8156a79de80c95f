/**
 * Measures the ONNX Runtime runner on the embedded checkpoint and one layer at gpt-oss-20b shapes. Prints one JSON
 * object. Figures are medians of rounds, with the best round beside them; other load on the machine shows as a gap
 * between the two.
 */

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { cpus, loadavg, totalmem } from 'node:os';
import { embeddedCheckpointPath, openSnapshot } from '@switchyard/models';
import { createOrtRunner } from '../src/runners/ort/index.ts';
import { argmax, reference } from '../test/golden/reference.ts';
import { measureLayer } from './synthetic-layer.ts';

const ROUNDS = 9;
const require = createRequire(import.meta.url);

function summary(values: readonly number[], best: 'highest' | 'lowest'): { median: number; best: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const extreme = best === 'highest' ? sorted.at(-1) : sorted[0];
  return { median: rounded(sorted[sorted.length >> 1] ?? 0), best: rounded(extreme ?? 0) };
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

async function embeddedFigures(): Promise<Record<string, unknown>> {
  await import('onnxruntime-node');
  globalThis.gc?.();
  const rssBefore = process.memoryUsage().rss;
  const started = performance.now();
  const snapshot = await openSnapshot(embeddedCheckpointPath());
  const runner = await createOrtRunner({ snapshot, router: 'cpu' });
  const loadMilliseconds = performance.now() - started;
  globalThis.gc?.();
  const loadBytes = process.memoryUsage().rss - rssBefore;

  const [prompt] = reference;
  if (prompt === undefined) {
    throw new Error('The reference has no prompts');
  }
  const decode: number[] = [];
  const shares = { compute: [] as number[], router: [] as number[], overhead: [] as number[] };
  for (let round = 0; round <= ROUNDS; round++) {
    const sequence = runner.createSequence();
    const [first] = await runner.forward([{ sequence, tokens: Int32Array.from(prompt.ids) }]);
    let token = argmax(first?.logits ?? new Float32Array(1));
    const before = snapshotOf(runner.timings);
    const start = performance.now();
    const answer = [token];
    for (let step = 0; step < 128; step++) {
      const [output] = await runner.forward([{ sequence, tokens: Int32Array.of(token) }]);
      token = argmax(output?.logits ?? new Float32Array(1));
      answer.push(token);
    }
    const elapsed = performance.now() - start;
    runner.releaseSequence(sequence);
    if (answer.slice(0, prompt.greedy.length).join() !== prompt.greedy.join()) {
      throw new Error('The answer is not the reference answer: no figure counts');
    }
    if (round === 0) {
      continue;
    }
    decode.push((128 / elapsed) * 1000);
    const after = snapshotOf(runner.timings);
    shares.compute.push((after.compute - before.compute) / 128);
    shares.router.push((after.router - before.router) / 128);
    shares.overhead.push((elapsed - (after.compute - before.compute) - (after.router - before.router)) / 128);
  }

  const tokens = Int32Array.from({ length: 256 }, (_, index) => reference[index % 7]?.ids[index >> 3] ?? 1);
  const prefill: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const sequence = runner.createSequence();
    const start = performance.now();
    await runner.forward([{ sequence, tokens }]);
    if (round > 0) {
      prefill.push((256 / (performance.now() - start)) * 1000);
    }
    runner.releaseSequence(sequence);
  }

  const batches: Record<string, unknown> = {};
  for (const size of [8, 32]) {
    batches[`decodeTokensPerSecondBatch${size}`] = summary(await batchDecode(runner, prompt.ids, size), 'highest');
  }
  const bytes = {
    loadResidentMegabytes: rounded(loadBytes / 1e6),
    weightMegabytes: rounded(runner.memory.weightBytes / 1e6),
  };
  await runner.dispose();
  snapshot.dispose();
  const [compute, router, overhead] = [shares.compute, shares.router, shares.overhead].map((values) =>
    summary(values, 'lowest'),
  );
  const outside =
    ((router?.median ?? 0) + (overhead?.median ?? 0)) /
    ((compute?.median ?? 0) + (router?.median ?? 0) + (overhead?.median ?? 0));
  return {
    loadMilliseconds: rounded(loadMilliseconds),
    ...bytes,
    decodeTokensPerSecond: summary(decode, 'highest'),
    decodeMillisecondsPerToken: { compute, router, overhead },
    decodeShareOutsideOnnxRuntime: rounded(outside),
    prefill256TokensPerSecond: summary(prefill, 'highest'),
    ...batches,
  };
}

function snapshotOf({ compute, router, overhead }: { compute: number; router: number; overhead: number }): {
  compute: number;
  router: number;
  overhead: number;
} {
  return { compute, router, overhead };
}

async function batchDecode(
  runner: Awaited<ReturnType<typeof createOrtRunner>>,
  ids: readonly number[],
  size: number,
): Promise<number[]> {
  const sequences = Array.from({ length: size }, () => runner.createSequence());
  for (const sequence of sequences) {
    await runner.forward([{ sequence, tokens: Int32Array.from(ids), logits: 'none' }]);
  }
  const rates: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const start = performance.now();
    for (let step = 0; step < 16; step++) {
      await runner.forward(
        sequences.map((sequence, index) => {
          const other = reference[index % reference.length]?.greedy ?? ids;
          return { sequence, tokens: Int32Array.of(other[(round * 16 + step) % other.length] ?? 1) };
        }),
      );
    }
    if (round > 0) {
      rates.push(((16 * size) / (performance.now() - start)) * 1000);
    }
  }
  sequences.forEach((sequence) => runner.releaseSequence(sequence));
  return rates;
}

const embedded = await embeddedFigures();
const layers: Record<string, unknown> = {};
for (const [name, form] of [
  ['int4', 'blocks4'],
  ['exact', 'blocks8'],
] as const) {
  const { megabytes, oneToken, tokens64 } = await measureLayer(form);
  layers[name] = {
    weightMegabytes: rounded(megabytes),
    oneTokenMilliseconds: summary(oneToken, 'lowest'),
    tokens64Milliseconds: summary(tokens64, 'lowest'),
  };
}
const report = {
  machine: {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    loadAverage: loadavg()[0],
  },
  versions: { node: process.versions.node, onnxruntime: require('onnxruntime-node/package.json').version as string },
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
  date: new Date().toISOString(),
  figures: { embedded, gptOss20bMoeLayer: layers },
};
console.log(JSON.stringify(report, null, 2));
