/**
 * Prints, as JSON, what a runner takes: bytes of resident memory above Node with ONNX Runtime loaded, and the bytes of
 * weights that were planned. A process of its own, so that nothing else is counted. Its arguments: the precision, and
 * 'bf16' for bf16 experts.
 */

import { openSnapshot } from '@switchyard/models';
import { createOrtRunner } from '../../src/runners/ort/index.ts';
import { planOrtMemory } from '../../src/runners/ort/plan-memory.ts';
import { releaseFreeMemory } from '../../src/worker/release-free-memory.ts';
import { bf16Experts } from '../fixtures/bf16-experts.ts';

const [, , expertPrecision, format] = process.argv;

/** Resident bytes once everything that can go is gone. */
async function settled() {
  for (let round = 0; round < 3; round++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  releaseFreeMemory();
  return process.memoryUsage.rss();
}

const opened = await openSnapshot();
const snapshot =
  format === 'bf16'
    ? {
        ...opened,
        config: { ...opened.config, expertFormat: 'bf16' },
        weights: { ...opened.weights, layers: opened.weights.layers.map((layer) => bf16Experts(layer, true)) },
      }
    : opened;
const load = () => createOrtRunner({ snapshot, expertPrecision, router: 'cpu' });
// A first runner brings what a process has once: libraries, code, the kernels' memory.
await (await load()).dispose();
const before = await settled();
const runner = await load();
const grown = (await settled()) - before;
const { weightBytes } = planOrtMemory(snapshot.config, { expertPrecision });
process.stdout.write(JSON.stringify({ grown, planned: weightBytes }));
await runner.dispose();
