/**
 * Whether a GPU is taken for a model without being named: its answers are checked at the first load, and what was found is
 * remembered for the device, its driver and the set of kernels.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { chooseGpuDevice } from '@switchyard/gpu';
import type { GpuDeviceInfo } from '@switchyard/gpu';
import { type GptOssConfig, type Snapshot, embeddedCheckpointPath, parseGptOssConfig } from '@switchyard/models';
import { reasonOf } from '../contain.ts';
import { AbortedError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { checkShape } from '../runners/hip/check-shape.ts';
import { modelParts } from '../runners/hip/weight-layout.ts';
import type { Activations } from '../runners/runner-module.ts';
import { CheckRecords } from './check-records.ts';
import type { CheckName, CheckResult } from './check-result.ts';
import type { CheckPhase } from './check-protocol.ts';
import { DeviceCheckFailedError, DeviceNotCheckedError } from './errors.ts';
import { kernelSetKey } from './kernel-set.ts';
import { type RunCheckOptions, runCheck } from './run-check.ts';

/** Who would be taken for what. */
export interface DeviceCheckOptions {
  /** `EngineOptions.device`. */
  readonly device: number | string | undefined;
  readonly activations: Activations;
  readonly logger: Pick<Required<Logger>, 'info' | 'warn'>;
  readonly signal?: AbortSignal | undefined;
  /** Hears what a check is at, for people. */
  readonly onPhase?: (what: string) => void;
  /** Where results are kept. Defaults to the folder of compiled kernels; null for nowhere but in this process. */
  readonly folder?: string | null;
  /** Replaced in tests. */
  readonly run?: (task: Parameters<typeof runCheck>[0], options: RunCheckOptions) => ReturnType<typeof runCheck>;
  /** Replaced in tests. */
  readonly findDevice?: () => GpuDeviceInfo;
}

/** What is known of a device and a model. */
export type DeviceStanding =
  | { readonly state: 'passed' }
  | { readonly state: 'unchecked' }
  | { readonly state: 'failed'; readonly error: DeviceCheckFailedError };

/** A device with its driver, for people and to know it again. */
export function describeCheckedDevice({ name, architecture, driverVersion }: GpuDeviceInfo): string {
  return `${name} (${architecture}, driver ${driverVersion})`;
}

/** A check, and the set of kernels that it is about. */
export interface KeyedCheck {
  readonly check: CheckName;
  readonly key: string;
}

/** The checks that a model needs, in their order. */
export function checksFor(
  info: GpuDeviceInfo,
  config: GptOssConfig,
  embedded: GptOssConfig,
  activations: Activations,
): readonly KeyedCheck[] {
  const golden = { check: 'golden', key: kernelSetKey({ info, config: embedded, activations }) } as const;
  if (isDeepStrictEqual(config, embedded)) return [golden];
  return [golden, { check: 'shape', key: kernelSetKey({ info, config, activations }) }];
}

/** The embedded model's configuration. Throws where it cannot be read. */
export function embeddedConfig(): GptOssConfig {
  const file = join(embeddedCheckpointPath(), 'config.json');
  return parseGptOssConfig(JSON.parse(readFileSync(file, 'utf8')), file).config;
}

/**
 * Throws where a device is not to be taken for a model, after checking it where it has not been checked before. It is there and
 * has room for the model.
 *
 * @throws DeviceCheckFailedError, DeviceNotCheckedError, UnsupportedWeightsError, AbortedError
 */
export async function assertChecked(
  { config, weights, path }: Pick<Snapshot, 'config' | 'weights' | 'path'>,
  options: DeviceCheckOptions,
): Promise<void> {
  const { device, activations, logger, signal, onPhase = () => {}, run = runCheck } = options;
  // What the kernels are not written for needs no check.
  checkShape(config);
  modelParts(weights);
  const { device: name, records, checks } = await rememberedChecks(config, options);
  const failed = checks.find(({ result }) => result !== null && result.failure !== null)?.result?.failure;
  if (failed != null) throw new DeviceCheckFailedError(name, failed, true);
  const open = checks.filter(({ result }) => result === null);
  if (open.length === 0) return;
  logger.info('checking the answers of a GPU not seen before', { device: name });
  let outcome: Awaited<ReturnType<typeof runCheck>>;
  try {
    outcome = await run(
      { device, activations, path, checks: open.map(({ check }) => check) },
      { signal, onPhase: (check, phase) => onPhase(describePhase(check, phase)) },
    );
  } catch (error) {
    if (error instanceof AbortedError) throw error;
    throw new DeviceNotCheckedError(name, reasonOf(error), error);
  }
  for (const [check, result] of outcome) {
    const key = open.find((each) => each.check === check)?.key;
    if (key !== undefined) {
      const model = check === 'golden' ? 'the embedded model' : path;
      await records.write({ key, check, device: name, model, ...result });
    }
    if (result.failure !== null) throw new DeviceCheckFailedError(name, result.failure, false);
    logger.info('the GPU computes the right answers', {
      device: name,
      check,
      cases: result.cases,
      milliseconds: result.milliseconds,
    });
  }
}

/** What is remembered of a device for a model; checks nothing. Throws where there is no such device. */
export async function deviceStanding(
  config: GptOssConfig,
  options: Omit<DeviceCheckOptions, 'run' | 'onPhase' | 'signal'>,
): Promise<DeviceStanding> {
  const { device, checks } = await rememberedChecks(config, options);
  for (const { result } of checks) {
    if (result === null) return { state: 'unchecked' };
    if (result.failure !== null) {
      return { state: 'failed', error: new DeviceCheckFailedError(device, result.failure, true) };
    }
  }
  return { state: 'passed' };
}

async function rememberedChecks(
  config: GptOssConfig,
  { device, activations, logger, folder, findDevice }: DeviceCheckOptions,
): Promise<{
  readonly device: string;
  readonly records: CheckRecords;
  readonly checks: readonly (KeyedCheck & { readonly result: CheckResult | null })[];
}> {
  const info = findDevice?.() ?? chooseGpuDevice(device === undefined ? {} : { device });
  const name = describeCheckedDevice(info);
  const records = new CheckRecords(logger, folder);
  let keyed: readonly KeyedCheck[];
  try {
    keyed = checksFor(info, config, embeddedConfig(), activations);
  } catch (error) {
    throw new DeviceNotCheckedError(name, reasonOf(error), error);
  }
  const checks = await Promise.all(keyed.map(async (each) => ({ ...each, result: await records.find(each.key) })));
  return { device: name, records, checks };
}

function describePhase(check: CheckName, phase: CheckPhase): string {
  const of = check === 'golden' ? 'embedded model' : "model's first layer";
  return phase === 'ready'
    ? `GPU's first use: kernels for the check of the ${of}`
    : `GPU's first use: check of the ${of}`;
}
