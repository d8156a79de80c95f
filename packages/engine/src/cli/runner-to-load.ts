/**
 * Which runner a load would take on this machine, and why not those that it tries before. Loads nothing and checks nothing.
 */

import type { GptOssConfig } from '@switchyard/models';
import { type DeviceStanding, deviceStanding } from '../device-check/assert-checked.ts';
import { describeBytes } from '../describe-bytes.ts';
import { SILENT_LOGGER } from '../logger.ts';
import { allowanceOf } from '../memory/load-budget.ts';
import { inspectMemory, type MemoryReport } from '../memory/memory-report.ts';
import type { PlanOptions } from '../memory/plan-model.ts';
import { passedOver, type PassedOver } from '../runners/first-that-starts.ts';
import type { RunnerName } from '../runners/runner-choice.ts';
import type { ExpertPrecision } from '../runners/runner-module.ts';
import { RUNNERS } from '../runners/runner-table.ts';

/** How a load would go about it. */
export interface RunnerToLoadOptions extends Omit<PlanOptions, 'runner'> {
  /** In the order in which they are tried. */
  readonly runners: readonly RunnerName[];
  /** `EngineOptions.device`. */
  readonly device: number | string | undefined;
  readonly memoryLimitBytes: number | undefined;
}

/** What a load would do. */
export interface RunnerToLoad {
  readonly runner: RunnerName;
  readonly memory: MemoryReport;
  /** Of a GPU that would be taken without being named. */
  readonly check: DeviceStanding['state'] | null;
  /** Those that are tried before, and why they are not taken. */
  readonly passedOver: readonly PassedOver[];
}

/**
 * The first runner that is there, holds the model and has not failed its check; where there is none, the first that is there.
 *
 * @throws why the first is not there, where none is
 */
export async function runnerToLoad(config: GptOssConfig, options: RunnerToLoadOptions): Promise<RunnerToLoad> {
  const { runners, device, memoryLimitBytes, activations } = options;
  const before: PassedOver[] = [];
  let second: RunnerToLoad | null = null;
  let missing: unknown;
  for (const runner of runners) {
    const entry = RUNNERS[runner];
    try {
      const isNamed = runners.length === 1;
      if (!isNamed) entry.assertPresent?.();
      await entry.assertUsable?.();
      const allowance = allowanceOf(await entry.deviceMemory(device), memoryLimitBytes);
      const memory = inspectMemory(config, allowance, { ...options, runner: entry });
      const tooLarge = reasonAgainst(memory, options.expertPrecision);
      const standing =
        tooLarge === null && !isNamed && entry.usesGpu === true
          ? await deviceStanding(config, { device, activations, logger: SILENT_LOGGER })
          : null;
      const found: RunnerToLoad = { runner, memory, check: standing?.state ?? null, passedOver: [...before] };
      if (tooLarge !== null) before.push({ runner, code: 'INSUFFICIENT_MEMORY', reason: tooLarge });
      else if (standing?.state === 'failed') before.push(passedOver(runner, standing.error));
      else return found;
      // A GPU is passed over for the CPU, whose numbers are then of more use.
      if (second === null || RUNNERS[second.runner].usesGpu === true) second = found;
    } catch (error) {
      missing ??= error;
      before.push(passedOver(runner, error));
    }
  }
  if (second === null) throw missing;
  return second;
}

/** Why a load would not take a runner that is there: it has no room for the model. */
function reasonAgainst({ precisions, limitBytes }: MemoryReport, expertPrecision: ExpertPrecision): string | null {
  const asked = precisions.find(({ precision }) => precision === expertPrecision) ?? precisions[0];
  if (asked === undefined || asked.fits) return null;
  const most = limitBytes === null ? 'unknown' : describeBytes(limitBytes);
  return `the model takes ${describeBytes(asked.requiredBytes)} where it may take ${most}`;
}
