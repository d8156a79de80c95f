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
import { type RunnerFailure, type RunnerTolerances, runRunnerSuite } from '../runners/suite/index.ts';
import { type DecodeSpeed, measureDecodeSpeed } from './decode-speed.ts';
import { embeddedGoldenPrompts } from './golden-prompts.ts';

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
  readonly decode: readonly (DecodeSpeed & { readonly model: string })[];
}

/** What f32 has to keep. */
const TOLERANCES: RunnerTolerances = { betweenKinds: 2e-4, logit: 5e-3, nll: 1e-4, routerWeight: 1e-4 };
const KV_BYTES = 256 * 2 ** 20;
const SPEED = { steps: 128, warmUpSteps: 16 };

/** Runs the runner suite on the embedded model, then measures. Nothing is measured where the suite fails. */
export async function verifyRunner(options: VerifyOptions): Promise<VerifyReport> {
  const { runner: name, device, shape, batches, context } = options;
  using snapshot = await openSnapshot();
  const load = (): Promise<ModelRunner> =>
    createRunner(
      { name },
      {
        snapshot,
        expertPrecision: 'exact',
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
  const { cases, failures } = await runRunnerSuite(
    async () => {
      const runner = await load();
      about = { runner: runner.name, device: runner.router.device };
      return runner;
    },
    {
      golden: await embeddedGoldenPrompts(),
      tolerances: TOLERANCES,
      window: snapshot.config.slidingWindow,
      onCase: ({ section, name: caseName, problem }) => options.onCase({ name: `${section}: ${caseName}`, problem }),
    },
  );
  const suite = { cases, failures, seconds: (performance.now() - started) / 1000 };
  const decode: (DecodeSpeed & { readonly model: string })[] = [];
  const measure = async (model: string, runner: ModelRunner): Promise<void> => {
    for (const sequences of batches) {
      const speed = await measureDecodeSpeed(runner, { sequences, context, ...SPEED });
      options.onSpeed(model, speed);
      decode.push({ model, ...speed });
    }
  };
  if (failures.length === 0) {
    await using embedded = await load();
    await measure('pocket-dictionary', embedded);
  }
  if (failures.length === 0 && shape !== undefined) {
    await using synthetic = await syntheticRunner(publishedConfig(shape), device, batches, context);
    await measure(`${shape}, synthetic weights`, synthetic);
  }
  return { ...about, passed: failures.length === 0, suite, tolerances: TOLERANCES, decode };
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
