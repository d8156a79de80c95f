/**
 * A runner to measure: of a checkpoint, or of a published shape with weights of the device's own making.
 */

import { openGpuDriver } from '@switchyard/gpu';
import type { GpuDriver } from '@switchyard/gpu';
import type { MeasuredGpu } from '@switchyard/gpu/benchmark';
import { type GptOssConfig, openSnapshot } from '@switchyard/models';
import { publishedConfig } from '@switchyard/models/testing';
import type { PublishedModel } from '@switchyard/models/testing';
import { SILENT_LOGGER } from '../logger.ts';
import { createRunner } from '../runners/create-runner.ts';
import { kvTypeOf } from '../runners/hip/sizes.ts';
import type { KvType } from '../runners/kv-bytes.ts';
import type { RunnerName } from '../runners/runner-choice.ts';
import { routingShapeOf } from '../runners/routing-record.ts';
import type { ModelRunner } from '../runners/runner.ts';
import { RUNNERS } from '../runners/runner-table.ts';
import { sampledOnHost } from '../runners/sampled-on-host.ts';

/** What the GPU runner is measured with. */
const ACTIVATIONS = 'bf16';
/** What the embedded model is called. */
const EMBEDDED = 'pocket-dictionary';

/** What is opened. */
export interface BenchRunnerOptions {
  readonly runner: RunnerName;
  /** `EngineOptions.device`. */
  readonly device: number | string | undefined;
  /** A checkpoint's folder. Defaults to the embedded model. */
  readonly model: string | undefined;
  /** A shape to measure instead of a checkpoint. Only the GPU runner takes one. */
  readonly shape: PublishedModel | undefined;
  /** With a shape: only ids below this may be chosen. Defaults to all. */
  readonly candidates?: number;
  /** What there must be room for, one after the other. */
  readonly rooms: readonly SequenceRoom[];
}

/** Sequences side by side, and the most tokens of each. */
export interface SequenceRoom {
  readonly sequences: number;
  readonly tokens: number;
}

/** An opened runner, and what it runs on and with. */
export interface BenchRunner extends AsyncDisposable {
  readonly runner: ModelRunner;
  readonly config: GptOssConfig;
  /** What the weights are, for people. */
  readonly model: string;
  /** The GPU; null where the runner has none. */
  readonly driver: GpuDriver | null;
  /** How it keeps keys and values. */
  readonly kv: KvType;
}

/** Opens a runner; what it opens is given back with it. */
export async function openBenchRunner(options: BenchRunnerOptions): Promise<BenchRunner> {
  const { runner: name, model, device, rooms } = options;
  if (name === 'hip') return openOnGpu(options);
  const snapshot = await openSnapshot(model);
  try {
    const { config } = snapshot;
    const runner = await createRunner(
      { name },
      {
        snapshot,
        expertPrecision: 'exact',
        activations: 'exact',
        threads: undefined,
        router: 'cpu',
        device,
        kvCacheBytes: bytesOfRooms(rooms, RUNNERS[name].kvBytes(config, 'exact')),
        logger: SILENT_LOGGER,
        onProgress: () => {},
        runnerOptions: undefined,
      },
    );
    return {
      runner,
      config,
      model: model ?? EMBEDDED,
      driver: null,
      kv: 'f32',
      [Symbol.asyncDispose]: async () => {
        await runner.dispose();
        // It may read embeddings as they are needed.
        snapshot.dispose();
      },
    };
  } catch (error) {
    snapshot.dispose();
    throw error;
  }
}

async function openOnGpu({ device, model, shape, candidates, rooms }: BenchRunnerOptions): Promise<BenchRunner> {
  const [{ createHipRunner, createSyntheticHipRunner }, { HIP_ENTRY }] = await Promise.all([
    import('../runners/hip/index.ts'),
    import('../runners/hip/hip-entry.ts'),
  ]);
  const driver = openGpuDriver(device === undefined ? {} : { device });
  const bytesOf = (config: GptOssConfig): number => bytesOfRooms(rooms, HIP_ENTRY.kvBytes(config, ACTIVATIONS));
  const opened = (runner: ModelRunner, config: GptOssConfig, weights: string): BenchRunner => ({
    runner,
    config,
    model: weights,
    driver,
    kv: kvTypeOf(ACTIVATIONS),
    [Symbol.asyncDispose]: async () => {
      await runner.dispose();
      driver.dispose();
    },
  });
  try {
    if (shape !== undefined) {
      const config = publishedConfig(shape);
      const runner = await createSyntheticHipRunner({
        config,
        ...(candidates !== undefined && { candidates }),
        kvCacheBytes: bytesOf(config),
        activations: ACTIVATIONS,
        driver,
      });
      return opened(sampledOnHost(runner, { routing: routingShapeOf(config) }), config, `${shape}, synthetic weights`);
    }
    using snapshot = await openSnapshot(model);
    const { config, tokenizer } = snapshot;
    const runner = await createHipRunner({
      snapshot,
      kvCacheBytes: bytesOf(config),
      activations: ACTIVATIONS,
      driver,
    });
    const sampled = sampledOnHost(runner, { routing: routingShapeOf(config), tokens: tokenizer.vocabularySize });
    return opened(sampled, config, model ?? EMBEDDED);
  } catch (error) {
    driver.dispose();
    throw error;
  }
}

/** A GPU as reports name it. */
export function measuredGpu({ info }: GpuDriver): MeasuredGpu {
  return { name: info.name, architecture: info.architecture, driver: info.driverVersion };
}

function bytesOfRooms(rooms: readonly SequenceRoom[], bytesOf: (tokens: number) => number): number {
  return Math.max(...rooms.map(({ sequences, tokens }) => sequences * bytesOf(tokens)));
}
