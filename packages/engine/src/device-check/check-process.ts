/**
 * The process that checks a device. It is one of its own because what is not right may end it: a fault on the device ends an
 * AMD program, a kernel that hangs keeps its caller waiting in the driver, and what a process held is free after its end.
 */

import { type GpuDriver, openGpuDriver } from '@switchyard/gpu';
import { type Snapshot, openSnapshot } from '@switchyard/models';
import { HIP_ENTRY } from '../runners/hip/hip-entry.ts';
import { createHipRunner } from '../runners/hip/index.ts';
import { FEWEST_TILE_TOKENS } from '../runners/hip/plan-passes.ts';
import type { LogitsRunner } from '../runners/logits-runner.ts';
import { sampledOnHost } from '../runners/sampled-on-host.ts';
import { serializeError } from '../serialized-error.ts';
import type { CheckName, CheckResult } from './check-result.ts';
import type { CheckTask, FromCheck } from './check-protocol.ts';
import { embeddedGoldenPrompts } from './golden-prompts.ts';
import { runGoldenSteps } from './golden-steps.ts';
import { cutModel, runShapeSteps, shapeReference } from './shape-steps.ts';

/** A pass over the layers that takes longer, in milliseconds, does not end any more. */
const LONGEST_PASS_MS = 5000;
/** Sequences and tokens of each that there is room for. */
const SEQUENCES = 16;
const TOKENS = 512;

const tell = (message: FromCheck): Promise<void> =>
  new Promise((resolve) => {
    // Nobody is left to hear it where the parent has gone.
    if (process.send === undefined) resolve();
    else process.send(message, () => resolve());
  });

async function load(snapshot: Snapshot, driver: GpuDriver, { activations }: CheckTask): Promise<LogitsRunner> {
  return createHipRunner({
    snapshot,
    kvCacheBytes: SEQUENCES * HIP_ENTRY.kvBytes(snapshot.config)(TOKENS),
    activations,
    driver,
    longestPassMs: LONGEST_PASS_MS,
  });
}

async function checkGolden(task: CheckTask, driver: GpuDriver): Promise<CheckResult> {
  using snapshot = await openSnapshot();
  const { layers, experts, expertsPerToken, slidingWindow } = snapshot.config;
  const golden = await embeddedGoldenPrompts();
  await using runner = sampledOnHost(await load(snapshot, driver, task), {
    routing: { layers, experts, topK: expertsPerToken },
    tokens: snapshot.tokenizer.vocabularySize,
  });
  await tell({ type: 'phase', check: 'golden', phase: 'device' });
  const result = await runGoldenSteps(runner, { golden, window: slidingWindow, roundedFrom: FEWEST_TILE_TOKENS });
  // At once: giving back what a device holds that hangs may take forever.
  await tell({ type: 'checked', check: 'golden', result });
  return result;
}

async function checkShape(task: CheckTask, driver: GpuDriver): Promise<CheckResult> {
  using snapshot = await openSnapshot(task.path, { encoder: 'when-needed' });
  const cut = cutModel(snapshot);
  const reference = shapeReference(cut);
  await using runner = await load(cut, driver, task);
  await tell({ type: 'phase', check: 'shape', phase: 'device' });
  const result = await runShapeSteps(runner, reference);
  await tell({ type: 'checked', check: 'shape', result });
  return result;
}

const CHECKS: Readonly<Record<CheckName, typeof checkGolden>> = { golden: checkGolden, shape: checkShape };

async function check(task: CheckTask): Promise<void> {
  using driver = openGpuDriver(task.device === undefined ? {} : { device: task.device });
  for (const name of task.checks) {
    await tell({ type: 'phase', check: name, phase: 'ready' });
    const { failure } = await CHECKS[name](task, driver);
    if (failure !== null) return;
  }
}

process.once('disconnect', () => process.exit(0));
process.once('message', (task: CheckTask) => {
  check(task)
    .catch((error: unknown) => tell({ type: 'failed', error: serializeError(error) }))
    .finally(() => process.exit(0));
});
