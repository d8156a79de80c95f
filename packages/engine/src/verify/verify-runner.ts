/**
 * Whether a runner is right on this machine, and how fast it decodes: what the owner of a GPU runs and reports.
 */

import { type GpuDeviceInfo, openGpuDriver } from '@switchyard/gpu';
import type { GpuDriver } from '@switchyard/gpu';
import { type BenchmarkMachine, describeMachine, versionsOf } from '@switchyard/gpu/benchmark';
import { type GptOssConfig, type Snapshot, openSnapshot } from '@switchyard/models';
import { publishedConfig } from '@switchyard/models/testing';
import type { PublishedModel } from '@switchyard/models/testing';
import { embeddedGoldenPrompts } from '../device-check/golden-prompts.ts';
import { EXACT_TOLERANCES, ROUNDED_TOLERANCES } from '../device-check/golden-steps.ts';
import { rememberVerified } from '../device-check/remember-verified.ts';
import { type Logger, SILENT_LOGGER } from '../logger.ts';
import { createRunner } from '../runners/create-runner.ts';
import type { RunnerName } from '../runners/runner-choice.ts';
import { RUNNERS } from '../runners/runner-table.ts';
import type { ModelRunner } from '../runners/runner.ts';
import { routingShapeOf } from '../runners/routing-record.ts';
import { sampledOnHost } from '../runners/sampled-on-host.ts';
import type { Activations } from '../runners/runner-module.ts';
import {
  type RunnerCase,
  type RunnerFailure,
  type RunnerSuiteResult,
  type RunnerTolerances,
  companyCases,
  goldenAnswerCases,
  runRunnerSuite,
} from '../runners/suite/index.ts';
import { type DecodeSpeed, measureDecodeSpeed } from './decode-speed.ts';
import { type RouterReport, verifyRouter } from './router-report.ts';
import { type SoakReport, soak } from './soak.ts';

/** What is verified. */
export interface VerifyOptions {
  readonly runner: RunnerName;
  /** `EngineOptions.device`. */
  readonly device: number | string | undefined;
  /**
   * Also compare rows alone and in company, and measure decoding, at a published shape, with weights made on the device. Only the
   * GPU runner can.
   */
  readonly shape: PublishedModel | undefined;
  /** Sequences side by side for which decoding is measured. */
  readonly batches: readonly number[];
  /** Tokens of context that decoding is measured at. */
  readonly context: number;
  /** Steps of decoding that are run on end, to see whether memory grows or answers change. Defaults to none. */
  readonly soakSteps?: number;
  /** Where it is kept that a GPU's answers are right. Defaults to the folder of compiled kernels. */
  readonly cacheFolder?: string;
  readonly logger?: Pick<Logger, 'warn'>;
  readonly onCase: (done: { readonly name: string; readonly problem: string | null }) => void;
  readonly onSpeed: (what: string, speed: DecodeSpeed) => void;
}

/** What was found. Survives JSON. */
export interface VerifyReport {
  readonly runner: string;
  /** The device, as the router on it tells. */
  readonly device: string;
  readonly passed: boolean;
  readonly machine: BenchmarkMachine;
  /** Of Node and of this package. */
  readonly versions: Readonly<Record<string, string>>;
  /** The GPU as its driver tells of it; null for runners that have none. */
  readonly gpu: GpuDeviceInfo | null;
  readonly suite: { readonly cases: number; readonly failures: readonly RunnerFailure[]; readonly seconds: number };
  readonly tolerances: RunnerTolerances;
  /** Golden answers with activations in bf16; null for runners that round none. */
  readonly rounded: RunnerSuiteResult | null;
  /** The router by itself; null for runners without a GPU. */
  readonly router: RouterReport | null;
  /** Rows alone and in company at the shape that was asked for; null where none was, or what comes before it failed. */
  readonly shape: RunnerSuiteResult | null;
  readonly decode: readonly (DecodeSpeed & { readonly model: string })[];
  /** Null where none was asked for. */
  readonly soak: SoakReport | null;
}

const MANIFEST = new URL('../../package.json', import.meta.url);
const KV_BYTES = 256 * 2 ** 20;
const SPEED = { steps: 128, warmUpSteps: 16 };
/** More sequences, and of more tokens, than rows are compared beside. */
const COMPANY = { sequences: 80, tokens: 512 };

/**
 * Runs the runner suite on the embedded model, on a GPU the router's own as well, then measures; nothing is measured of what is
 * wrong. What a GPU's answers are found to be is remembered, in the place of what earlier checks found.
 */
export async function verifyRunner(options: VerifyOptions): Promise<VerifyReport> {
  const { runner: name, device, shape, batches, context, soakSteps = 0 } = options;
  using snapshot = await openSnapshot();
  using driver = name === 'hip' ? openGpuDriver(device === undefined ? {} : { device }) : null;
  const load = (activations: Activations): Promise<ModelRunner> =>
    createRunner(
      { name },
      {
        snapshot,
        expertPrecision: 'exact',
        activations,
        threads: undefined,
        router: name === 'hip' ? 'hip' : 'cpu',
        device,
        kvCacheBytes: KV_BYTES,
        logger: SILENT_LOGGER,
        onProgress: () => {},
        runnerOptions: undefined,
      },
    );
  const started = performance.now();
  const machine = describeMachine(driver === null ? null : measuredGpu(driver));
  let about = { runner: '', device: '' };
  const golden = await embeddedGoldenPrompts();
  const runSuite = (
    open: () => Promise<ModelRunner>,
    kept: RunnerTolerances,
    { cases, of = '' }: { readonly cases?: readonly RunnerCase[]; readonly of?: string } = {},
  ): Promise<RunnerSuiteResult> =>
    runRunnerSuite(
      async () => {
        const runner = await open();
        about = { runner: runner.name, device: runner.router.device };
        return runner;
      },
      {
        golden,
        tolerances: kept,
        window: snapshot.config.slidingWindow,
        onCase: ({ section, name: caseName, problem }) =>
          options.onCase({ name: `${of}${section}: ${caseName}`, problem }),
        ...(cases === undefined ? {} : { cases }),
      },
    );
  const tolerances = { ...EXACT_TOLERANCES, betweenKinds: RUNNERS[name].betweenKinds };
  const { cases, failures } = await runSuite(() => load('exact'), tolerances);
  const suite = { cases, failures, seconds: (performance.now() - started) / 1000 };
  // Only the GPU runner rounds activations.
  const rounded =
    driver === null
      ? null
      : await runSuite(() => roundingRunner(snapshot, driver), ROUNDED_TOLERANCES, {
          cases: goldenAnswerCases(golden),
        });
  const router = driver === null ? null : await verifyRouter(driver);
  if (driver !== null && rounded !== null) {
    const { info } = driver;
    const { cacheFolder, logger = SILENT_LOGGER } = options;
    const folder = cacheFolder === undefined ? {} : { folder: cacheFolder };
    const ofRouter = (router?.failures ?? []).map(({ section, name: caseName, problems }) => ({
      section: `router, ${section}`,
      name: caseName,
      problem: problems.join('; '),
    }));
    const exact = { cases: cases + (router?.cases ?? 0), failures: [...failures, ...ofRouter] };
    await rememberVerified({ info, config: snapshot.config, exact, rounded, logger, ...folder });
  }
  const isRight = [suite, rounded, router].every((part) => (part?.failures.length ?? 0) === 0);
  const decode: (DecodeSpeed & { readonly model: string })[] = [];
  const measure = async (model: string, runner: ModelRunner): Promise<void> => {
    for (const sequences of batches) {
      const speed = await measureDecodeSpeed(runner, { sequences, context, ...SPEED });
      options.onSpeed(model, speed);
      decode.push({ model, ...speed });
    }
  };
  let soaked: SoakReport | null = null;
  if (isRight) {
    await using embedded = await load('bf16');
    await measure('pocket-dictionary', embedded);
    if (soakSteps > 0) {
      const deviceFreeBytes = driver === null ? null : () => driver.memory().free;
      soaked = await soak(embedded, { steps: soakSteps, golden, deviceFreeBytes });
    }
  }
  let ofShape: RunnerSuiteResult | null = null;
  if (isRight && shape !== undefined) {
    const config = publishedConfig(shape);
    const cases = { cases: companyCases, of: `${shape}, ` };
    ofShape = await runSuite(() => syntheticRunner(config, device, COMPANY), EXACT_TOLERANCES, cases);
    if (ofShape.failures.length === 0) {
      const tokens = context + SPEED.steps + SPEED.warmUpSteps;
      await using synthetic = await syntheticRunner(config, device, { sequences: Math.max(...batches), tokens });
      await measure(`${shape}, synthetic weights`, synthetic);
    }
  }
  return {
    ...about,
    passed: isRight && (soaked?.passed ?? true) && (ofShape?.failures.length ?? 0) === 0,
    machine,
    versions: versionsOf(MANIFEST),
    gpu: driver?.info ?? null,
    suite,
    tolerances,
    rounded,
    router,
    shape: ofShape,
    decode,
    soak: soaked,
  };
}

/** A runner of the snapshot that rounds activations of every prompt that it can. */
async function roundingRunner(snapshot: Snapshot, driver: GpuDriver): Promise<ModelRunner> {
  const { createHipRunner } = await import('../runners/hip/index.ts');
  const runner = await createHipRunner({
    snapshot,
    kvCacheBytes: KV_BYTES,
    activations: 'bf16',
    mostSplitTokens: 0,
    driver,
  });
  return sampledOnHost(runner, {
    routing: routingShapeOf(snapshot.config),
    tokens: snapshot.tokenizer.vocabularySize,
  });
}

function measuredGpu({ info: { name, architecture, driverVersion } }: GpuDriver): BenchmarkMachine['gpu'] {
  return { name, architecture, driver: driverVersion };
}

async function syntheticRunner(
  config: GptOssConfig,
  device: number | string | undefined,
  { sequences, tokens }: { readonly sequences: number; readonly tokens: number },
): Promise<ModelRunner> {
  const [{ createSyntheticHipRunner }, { HIP_ENTRY }] = await Promise.all([
    import('../runners/hip/index.ts'),
    import('../runners/hip/hip-entry.ts'),
  ]);
  const runner = await createSyntheticHipRunner({
    config,
    kvCacheBytes: sequences * HIP_ENTRY.kvBytes(config, 'bf16')(tokens),
    ...(device === undefined ? {} : { device }),
  });
  return sampledOnHost(runner, { routing: routingShapeOf(config) });
}
