/**
 * Measures the embedded checkpoint and one MoE layer at gpt-oss-20b shapes on the ONNX Runtime runner. Prints one JSON
 * object. Figures are medians of rounds, with the best round beside them.
 */

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { cpus, loadavg, totalmem } from 'node:os';
import { measureEmbeddedModel } from './embedded-model.ts';
import { measureEngine } from './engine.ts';
import { rounded, summary } from './summary.ts';
import { measureLayer } from './synthetic-layer.ts';

const require = createRequire(import.meta.url);

const git = (...words: string[]): string => execFileSync('git', words, { encoding: 'utf8' }).trimEnd();
const about = {
  commit: git('rev-parse', '--short', 'HEAD'),
  // Paths that the run depends on: documents may differ.
  changedSinceCommit: git('status', '--porcelain', '--', '..').split('\n').filter(Boolean),
};
const embedded = await measureEmbeddedModel();
const engine = { decodeTokensPerSecond: await measureEngine() };
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
  ...about,
  date: new Date().toISOString(),
  figures: { embedded, engine, gptOss20bMoeLayer: layers },
};
console.log(JSON.stringify(report, null, 2));
