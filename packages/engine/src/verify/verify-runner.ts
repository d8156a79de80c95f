/**
 * Whether a runner is right on this machine, and how fast it decodes: what the owner of a GPU runs and reports.
 */

import { type GptOssConfig, openSnapshot } from '@switchyard/models';
import { publishedConfig } from '@switchyard/models/testing';
import type { PublishedModel } from '@switchyard/models/testing';
import { SILENT_LOGGER } from '../logger.ts';
import { createRunner } from '../runners/create-runner.ts';
import type { RunnerName } from '../runners/runner-choice.ts';
import type { ModelRunner } from '../runners/runner.ts';
import { sampledOnHost } from '../runners/sampled-on-host.ts';
import type { Activations } from '../runners/runner-module.ts';
import {
  type RunnerCase,
  type RunnerFailure,
  type RunnerSuiteResult,
  type RunnerTolerances,
  goldenAnswerCases,
  runRunnerSuite,
} from '../runners/suite/index.ts';
import { type DecodeSpeed, measureDecodeSpeed } from './decode-speed.ts';
import { embeddedGoldenPrompts } from '../device-check/golden-prompts.ts';

/** What is verified. */
export interface VerifyOptions {
  readonly runner: RunnerName;
  /** `EngineOptions.device`. */
  readonly device: number | string | undefined;
  /** Also measure decoding at a published shape, with weights made on the device. Only the GPU runner can. */
  readonly shape: PublishedModel | undefined;
  /** Sequences side by side for which decoding is measured. */
  readonly batches: readonly number[];
  /** Tokens of context that decoding is measured at. */
  readonly context: number;
  readonly onCase: (done: { readonly name: string; readonly problem: string | null }) => void;
  readonly onSpeed: (what: string, speed: DecodeSpeed) => void;
}

/** What was found. Survives JSON. */
export interface VerifyReport {
  readonly runner: string;
  /** The device, as the router on it tells. */
  readonly device: string;
  readonly passed: boolean;
  readonly suite: { readonly cases: number; readonly failures: readonly RunnerFailure[]; readonly seconds: number };
  readonly tolerances: RunnerTolerances;
  /** Golden answers with activations in bf16; null for runners that round none. */
  readonly rounded: RunnerSuiteResult | null;
  readonly decode: readonly (DecodeSpeed & { readonly model: string })[];
}

/** What f32 has to keep. */
const TOLERANCES: RunnerTolerances = { betweenKinds: 2e-4, logit: 5e-3, nll: 1e-4, routerWeight: 1e-4 };
/** What bf16 has to keep of it: of the likelihood of a prompt, this part. */
const ROUNDED_NLL = 1e-3;
const KV_BYTES = 256 * 2 ** 20;
const SPEED = { steps: 128, warmUpSteps: 16 };

/** Runs the runner suite on the embedded model, then measures. Nothing is measured where the suite fails. */
export async function verifyRunner(options: VerifyOptions): Promise<VerifyReport> {
  const { runner: name, device, shape, batches, context } = options;
  using snapshot = await openSnapshot();
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
  let about = { runner: '', device: '' };
  const golden = await embeddedGoldenPrompts();
  const runSuite = (
    activations: Activations,
    tolerances: RunnerTolerances,
    cases?: readonly RunnerCase[],
  ): Promise<RunnerSuiteResult> =>
    runRunnerSuite(
      async () => {
        const runner = await load(activations);
        about = { runner: runner.name, device: runner.router.device };
        return runner;
      },
      {
        golden,
        tolerances,
        window: snapshot.config.slidingWindow,
        onCase: ({ section, name: caseName, problem }) => options.onCase({ name: `${section}: ${caseName}`, problem }),
        ...(cases === undefined ? {} : { cases }),
      },
    );
  const { cases, failures } = await runSuite('exact', TOLERANCES);
  // Only the GPU runner rounds activations.
  const rounded =
    name === 'hip' ? await runSuite('bf16', { ...TOLERANCES, nll: ROUNDED_NLL }, goldenAnswerCases(golden)) : null;
  const passed = failures.length === 0 && (rounded?.failures.length ?? 0) === 0;
  const suite = { cases, failures, seconds: (performance.now() - started) / 1000 };
  const decode: (DecodeSpeed & { readonly model: string })[] = [];
  const measure = async (model: string, runner: ModelRunner): Promise<void> => {
    for (const sequences of batches) {
      const speed = await measureDecodeSpeed(runner, { sequences, context, ...SPEED });
      options.onSpeed(model, speed);
      decode.push({ model, ...speed });
    }
  };
  if (passed) {
    await using embedded = await load('bf16');
    await measure('pocket-dictionary', embedded);
  }
  if (passed && shape !== undefined) {
    await using synthetic = await syntheticRunner(publishedConfig(shape), device, batches, context);
    await measure(`${shape}, synthetic weights`, synthetic);
  }
  return { ...about, passed, suite, tolerances: TOLERANCES, rounded, decode };
}

async function syntheticRunner(
  config: GptOssConfig,
  device: number | string | undefined,
  batches: readonly number[],
  context: number,
): Promise<ModelRunner> {
  const [{ createSyntheticHipRunner }, { HIP_ENTRY }] = await Promise.all([
    import('../runners/hip/index.ts'),
    import('../runners/hip/hip-entry.ts'),
  ]);
  const tokens = context + SPEED.steps + SPEED.warmUpSteps;
  const runner = await createSyntheticHipRunner({
    config,
    kvCacheBytes: Math.max(...batches) * HIP_ENTRY.kvBytes(config)(tokens),
    ...(device === undefined ? {} : { device }),
  });
  const { layers, experts, expertsPerToken } = config;
  return sampledOnHost(runner, { routing: { layers, experts, topK: expertsPerToken } });
}
