/**
 * `npm run bench`: reading checkpoints, the embedded model, and one MoE layer at gpt-oss-20b shapes, on this machine's
 * processor. Nothing is timed before its answers were found right.
 *
 *   npm run bench                                    tables
 *   npm run bench -- --json                          the report, in the form of docs/benchmarks
 *   npm run bench -- --out FILE                      writes it, beside the tables
 *   npm run bench -- --only checkpoint,embedded      some of checkpoint, embedded, layer
 *   npm run bench -- --quick                         few repeats of small work: to see that it runs
 */

import { parseArgs } from 'node:util';
import { Benchmark } from '@switchyard/gpu/benchmark';
import { benchmarkCheckpoint } from './checkpoint.ts';
import { benchmarkEmbeddedModel } from './embedded-model.ts';
import { benchmarkLayer } from './synthetic-layer.ts';
import { writeReport } from './write-report.ts';

const PARTS = { checkpoint: benchmarkCheckpoint, embedded: benchmarkEmbeddedModel, layer: benchmarkLayer };

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(PARTS).join() },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});
const chosen = values.only.split(',').map((name) => {
  const part = Object.hasOwn(PARTS, name) ? PARTS[name as keyof typeof PARTS] : undefined;
  if (part === undefined) throw new TypeError(`--only takes ${Object.keys(PARTS).join(', ')}; found '${name}'.`);
  return part;
});
const benchmark = new Benchmark({
  name: 'npm run bench',
  manifest: new URL('../package.json', import.meta.url),
  packages: ['@switchyard/models', '@switchyard/router-kernel', 'onnxruntime-node', 'tiktoken'],
  settings: { quick: values.quick },
});
for (const part of chosen) await part(benchmark, values.quick);
process.exitCode = await writeReport(benchmark, values);
