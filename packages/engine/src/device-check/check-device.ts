/**
 * The checks of one device, from opening models to telling what was found. Every model is given back before the next.
 */

import type { GpuDriver } from '@switchyard/gpu';
import { type Snapshot, openSnapshot } from '@switchyard/models';
import { HIP_ENTRY } from '../runners/hip/hip-entry.ts';
import { type HipRunnerOptions, createHipRunner } from '../runners/hip/index.ts';
import { FEWEST_TILE_TOKENS } from '../runners/hip/plan-passes.ts';
import type { LogitsRunner } from '../runners/logits-runner.ts';
import { routingShapeOf } from '../runners/routing-record.ts';
import { sampledOnHost } from '../runners/sampled-on-host.ts';
import type { CheckTask, FromCheck } from './check-protocol.ts';
import type { CheckName, CheckResult } from './check-result.ts';
import { embeddedGoldenPrompts } from './golden-prompts.ts';
import { runGoldenSteps } from './golden-steps.ts';
import { SPLIT_TOKENS, cutModel, runShapeSteps, shapeReference } from './shape-steps.ts';

/** A pass over the layers that takes longer, in milliseconds, does not end any more. */
const LONGEST_PASS_MS = 5000;
/** Tokens that there is KV memory for: more than the steps of each check have at a time. */
const KV_TOKENS: Readonly<Record<CheckName, number>> = { golden: 8192, shape: 1024 };

/** What runners are made with as `mostSplitTokens`: some of the golden prompts are shorter, and some longer. */
const MOST_SPLIT_TOKENS: Readonly<Record<CheckName, number>> = { golden: 100, shape: SPLIT_TOKENS };

/** What a check works with. */
export interface CheckedDevice {
  readonly driver: GpuDriver;
  /** Hears what the check is at, and what was found; the check goes on when it was sent. */
  readonly tell: (message: FromCheck) => Promise<void>;
  /** Replaced in tests. */
  readonly runnerOptions?: Partial<Pick<HipRunnerOptions, 'compiler' | 'cacheFolder' | 'longestPassMs'>>;
}

/** Runs the checks of a task, up to the first that fails. */
export async function checkDevice(task: CheckTask, device: CheckedDevice): Promise<void> {
  for (const check of task.checks) {
    await device.tell({ type: 'phase', check, phase: 'ready' });
    const { failure } = await CHECKS[check](task, device);
    if (failure !== null) return;
  }
}

async function load(
  check: CheckName,
  snapshot: Snapshot,
  { activations }: CheckTask,
  { driver, runnerOptions }: CheckedDevice,
): Promise<LogitsRunner> {
  return createHipRunner({
    snapshot,
    kvCacheBytes: HIP_ENTRY.kvBytes(snapshot.config, activations)(KV_TOKENS[check]),
    activations,
    mostSplitTokens: MOST_SPLIT_TOKENS[check],
    driver,
    longestPassMs: LONGEST_PASS_MS,
    ...runnerOptions,
  });
}

async function checkGolden(task: CheckTask, device: CheckedDevice): Promise<CheckResult> {
  using snapshot = await openSnapshot();
  const golden = await embeddedGoldenPrompts();
  await using runner = sampledOnHost(await load('golden', snapshot, task, device), {
    routing: routingShapeOf(snapshot.config),
    tokens: snapshot.tokenizer.vocabularySize,
  });
  await device.tell({ type: 'phase', check: 'golden', phase: 'device' });
  const result = await runGoldenSteps(runner, {
    golden,
    window: snapshot.config.slidingWindow,
    roundedFrom: FEWEST_TILE_TOKENS,
    activations: task.activations,
  });
  // At once: giving back what a device holds that hangs may take forever.
  await device.tell({ type: 'checked', check: 'golden', result });
  return result;
}

async function checkShape(task: CheckTask, device: CheckedDevice): Promise<CheckResult> {
  using snapshot = await openSnapshot(task.path, { encoder: 'when-needed' });
  const cut = cutModel(snapshot);
  const reference = shapeReference(cut);
  await using runner = await load('shape', cut, task, device);
  await device.tell({ type: 'phase', check: 'shape', phase: 'device' });
  const result = await runShapeSteps(runner, reference);
  await device.tell({ type: 'checked', check: 'shape', result });
  return result;
}

const CHECKS: Readonly<Record<CheckName, typeof checkGolden>> = { golden: checkGolden, shape: checkShape };
