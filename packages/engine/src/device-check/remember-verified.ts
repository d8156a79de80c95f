/** What the whole runner suite found is remembered as a check is: it has more cases of the same. */

import type { GpuDeviceInfo } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import type { Logger } from '../logger.ts';
import type { RunnerSuiteResult } from '../runners/suite/index.ts';
import { describeCheckedDevice } from './assert-checked.ts';
import { CheckRecords } from './check-records.ts';
import type { CheckFailure } from './check-result.ts';
import { kernelSetKey } from './kernel-set.ts';

/** What was verified. */
export interface VerifiedDevice {
  readonly info: GpuDeviceInfo;
  /** The embedded model's. */
  readonly config: GptOssConfig;
  /** The suite with activations that are rounded to nothing, and what it kept with bf16. */
  readonly exact: RunnerSuiteResult;
  readonly rounded: RunnerSuiteResult;
  readonly logger: Pick<Logger, 'warn'>;
  /** Defaults to that of compiled kernels. */
  readonly folder?: string;
}

/**
 * Remembers it. Where everything is right, failures of the device with other models are forgotten, so that the next load checks
 * their kernels again.
 */
export async function rememberVerified({
  info,
  config,
  exact,
  rounded,
  logger,
  folder,
}: VerifiedDevice): Promise<void> {
  const records = new CheckRecords(logger, folder);
  const device = describeCheckedDevice(info);
  const suites = { exact: [exact], bf16: [exact, rounded] } as const;
  if (suites.bf16.every(({ failures }) => failures.length === 0)) await records.forgetFailures(device);
  for (const activations of ['exact', 'bf16'] as const) {
    const parts: readonly RunnerSuiteResult[] = suites[activations];
    const [first] = parts.flatMap(({ failures }) => failures);
    const failure: CheckFailure | null =
      first === undefined ? null : { kind: 'wrong', found: `${first.section}, ${first.name}: ${first.problem}` };
    await records.write({
      key: kernelSetKey({ info, config, activations }),
      check: 'golden',
      device,
      model: 'the embedded model',
      cases: parts.reduce((sum, { cases }) => sum + cases, 0),
      milliseconds: 0,
      failure,
    });
  }
}
