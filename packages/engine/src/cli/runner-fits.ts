/**
 * Where on this machine a model would fit: every runner, and of those that compute on GPUs every GPU.
 */

import type { GptOssConfig } from '@switchyard/models';
import { reasonOf } from '../contain.ts';
import { describeBytes } from '../describe-bytes.ts';
import { allowanceOf } from '../memory/load-budget.ts';
import { inspectMemory, type MemoryReport } from '../memory/memory-report.ts';
import type { PlanOptions } from '../memory/plan-model.ts';
import { RUNNER_NAMES, type RunnerName } from '../runners/runner-choice.ts';
import { RUNNERS } from '../runners/runner-table.ts';

/** A model on one device by one runner. */
export interface RunnerFit {
  readonly runner: RunnerName;
  /** The GPU, as the option `device` names it; null for a runner that computes in the process's own memory. */
  readonly device: string | null;
  /** What each precision would take; null where the runner finds no such device. */
  readonly memory: MemoryReport | null;
  /** Why there is no device; null where there is one. */
  readonly reason: string | null;
}

/**
 * Holds a model against the memory of every device.
 *
 * @param gpus ids of the GPUs of this machine
 * @param memoryLimitBytes what it may take at most, where the caller says it
 */
export async function runnerFits(
  config: GptOssConfig,
  gpus: readonly string[],
  options: Omit<PlanOptions, 'runner'>,
  memoryLimitBytes: number | undefined,
): Promise<RunnerFit[]> {
  const fits: RunnerFit[] = [];
  for (const runner of RUNNER_NAMES) {
    const entry = RUNNERS[runner];
    // Without a GPU the runner itself says what it misses.
    const devices = entry.usesGpu === true && gpus.length > 0 ? gpus : [null];
    for (const device of devices) {
      try {
        await entry.assertUsable?.();
        const found = await entry.deviceMemory(device ?? undefined);
        const allowance = allowanceOf(found, memoryLimitBytes);
        const memory = inspectMemory(config, allowance, { ...options, runner: entry });
        fits.push({ runner, device, memory, reason: null });
      } catch (error) {
        fits.push({ runner, device, memory: null, reason: reasonOf(error) });
      }
    }
  }
  return fits;
}

/** Such as `20.1 GB to be had: exact takes 24.3 GB, does not fit; int4 takes 15.2 GB, leaves 131072 tokens of context`. */
export function describeFit({ device, memory, reason }: RunnerFit): string {
  // What was looked for stands beside the device.
  if (memory === null) return `none: ${reason?.split(' · ')[0] ?? ''}`;
  const where = device === null ? '' : `${device}, `;
  const limit = memory.limitBytes === null ? 'no limit known' : `${describeBytes(memory.limitBytes)} to be had`;
  // A runner that holds experts in one way only would say the same twice.
  const distinct = memory.precisions.filter(
    ({ requiredBytes }, i) => memory.precisions.findIndex((other) => other.requiredBytes === requiredBytes) === i,
  );
  const takes = distinct.map(
    ({ precision, requiredBytes, kv }) =>
      `${precision} takes ${describeBytes(requiredBytes)}, ${kv === null ? 'does not fit' : `leaves ${kv.longestSequence} tokens of context`}`,
  );
  return `${where}${limit}: ${takes.join('; ')}`;
}
