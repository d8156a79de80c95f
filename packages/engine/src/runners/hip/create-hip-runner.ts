/**
 * Opens a GPU, makes sure that it holds the model, and loads it.
 */

import { CompileCache, openGpuDriver, targetOf } from '@switchyard/gpu';
import type { DeviceChoice, GpuDriver, GpuStream, KernelCompiler } from '@switchyard/gpu';
import type { GptOssConfig, Snapshot } from '@switchyard/models';
import { createHipRouter } from '@switchyard/router-kernel/hip';
import type { Logger } from '../../logger.ts';
import type { LoadingStep } from '../load-plan.ts';
import { kvBlockBytes, kvKinds } from '../kv-bytes.ts';
import { KvSequences } from '../kv-sequences.ts';
import type { LogitsRunner } from '../logits-runner.ts';
import type { Activations } from '../runner-module.ts';
import { checkShape } from './check-shape.ts';
import { type ArrangeCodes, type DeviceWeights, loadWeights } from './device-weights.ts';
import { DeviceMemoryError } from './errors.ts';
import { arrangeBlocks } from './expert-kernels.ts';
import { HipRunner } from './hip-runner.ts';
import type { KernelContext } from './kernel-form.ts';
import { type HipKernels, loadKernels } from './kernels.ts';
import type { TileRule } from './plan-passes.ts';
import { RESERVED_BLOCKS, planHipMemory } from './plan-memory.ts';
import { RotaryRows } from './rotary-rows.ts';
import { openRunnerLibrary } from './runner-library.ts';
import { MOST_SPLIT_TOKENS, kvTypeOf, workspaceSizes } from './sizes.ts';
import { type RoutingChoice, loadRoutingBefore } from './routing-before.ts';
import { Staging } from './staging.ts';
import { MOST_ROWS } from './step-block.ts';
import { syntheticWeights } from './synthetic-weights.ts';
import { hasMatrixUnits } from './tile-kernels.ts';
import { modelParts } from './weight-layout.ts';
import { Workspace } from './workspace.ts';

/** Hundreds of times what the longest pass takes on any GPU that holds the model. */
const LONGEST_PASS_MS = 60_000;

/** What every way to make a runner takes. */
interface CommonOptions {
  /** KV memory to hand out, in bytes; rounded down to blocks of 16 positions. */
  readonly kvCacheBytes: number;
  /**
   * What products read of an activation where a step has more than `mostSplitTokens` tokens of a sequence: with `'bf16'` 8 bits
   * of its significand, in other steps of at least FEWEST_TILE_TOKENS 16; with `'exact'` all of it in both on NVIDIA, and 16 on
   * AMD. Steps of fewer tokens read 16 on NVIDIA, and all on AMD. Router logits and sums are in f32 with both. Keys and values
   * are kept as integers of 16 bits with `'bf16'`, in f32 with `'exact'`. Defaults to `'bf16'`; GPUs without matrix units read
   * all of an activation always.
   */
  readonly activations?: Activations;
  /** See `activations`; at least 0. Defaults to MOST_SPLIT_TOKENS. */
  readonly mostSplitTokens?: number;
  /** The GPU, as `openGpuDriver` takes it. */
  readonly device?: DeviceChoice;
  /** A driver to share. It stays the caller's to dispose of, after the runner. Defaults to one of the runner's own. */
  readonly driver?: GpuDriver;
  /** Where compiled kernels are kept. Defaults to `defaultCacheFolder()`. */
  readonly cacheFolder?: string;
  /** Compiles what is not shipped, or opens what does at the first of it. Defaults to hipRTC or NVRTC. */
  readonly compiler?: KernelCompiler | (() => KernelCompiler);
  /** Whether steps of decoding are captured as graphs. The results are the same to the bit. Defaults to true. */
  readonly graphs?: boolean;
  /** A pass over the layers that takes longer, in milliseconds, does not end any more. Defaults to 60,000. */
  readonly longestPassMs?: number;
  readonly logger?: Logger;
  /** Hears of the load after every piece. What it throws ends the load. */
  readonly onProgress?: (step: LoadingStep) => void;
}

/** Options of `createHipRunner`. */
export interface HipRunnerOptions extends CommonOptions {
  /** The checkpoint: MXFP4 experts, other matrices in bf16. Read while loading only. */
  readonly snapshot: Snapshot;
}

/** Options of `createSyntheticHipRunner`. */
export interface SyntheticHipRunnerOptions extends CommonOptions {
  readonly config: GptOssConfig;
  /** Ids that may be chosen: those below. Defaults to all. */
  readonly candidates?: number;
  /** Weights of `syntheticWeights`, which stay the caller's. Defaults to weights of the runner's own. */
  readonly weights?: DeviceWeights;
  /** Who chooses experts in steps of few rows. Defaults to the kernels of the experts themselves. */
  readonly routing?: RoutingChoice;
}

/**
 * Makes the runner that computes on an AMD or NVIDIA GPU.
 *
 * @throws UnsupportedWeightsError, DeviceMemoryError before anything is read; BackendUnavailableError where there is no
 * GPU; KernelCompileError, OutOfDeviceMemoryError, DeviceError
 */
export async function createHipRunner(options: HipRunnerOptions): Promise<LogitsRunner> {
  const { snapshot, onProgress = () => {} } = options;
  const { config, weights, tokenizer, tensorBytes } = snapshot;
  modelParts(weights);
  return startRunner(options, config, {
    candidates: tokenizer.vocabularySize,
    tensorBytes,
    load: (driver, stream, arrange) => loadWeights(driver, stream, weights, arrange, onProgress),
  });
}

/** Makes a runner of a shape with weights of the device's own making: for measuring, its answers mean nothing. */
export async function createSyntheticHipRunner(options: SyntheticHipRunnerOptions): Promise<LogitsRunner> {
  const { config, weights, routing, candidates = config.vocabularySize } = options;
  return startRunner(options, config, {
    candidates,
    tensorBytes: 0,
    load: async (driver, stream) =>
      weights === undefined ? syntheticWeights(driver, stream, config) : { ...weights, free: () => undefined },
    isLoaded: weights !== undefined,
    ...(routing === undefined ? {} : { routing }),
  });
}

/** Where weights come from. */
interface WeightSource {
  /** Ids that have a token. */
  readonly candidates: number;
  readonly tensorBytes: number;
  readonly load: (driver: GpuDriver, stream: GpuStream, arrange: ArrangeCodes) => Promise<DeviceWeights>;
  /** Whether the weights are on the device already. Defaults to false. */
  readonly isLoaded?: boolean;
  readonly routing?: RoutingChoice;
}

async function startRunner(
  options: CommonOptions,
  config: GptOssConfig,
  { candidates, tensorBytes, load, isLoaded = false, routing }: WeightSource,
): Promise<LogitsRunner> {
  const { device, logger, onProgress = () => {} } = options;
  checkShape(config);
  const driver = options.driver ?? openGpuDriver(device === undefined ? {} : { device });
  const owned: (() => void | Promise<void>)[] = [];
  const own = <Part>(part: Part, releasePart: (part: Part) => void | Promise<void>): Part => {
    owned.unshift(() => releasePart(part));
    return part;
  };
  const release = async (): Promise<void> => {
    for (const each of owned) await each();
  };
  if (options.driver === undefined) own(driver, () => driver.dispose());
  try {
    const asked = options.activations ?? 'bf16';
    const context: KernelContext = { config, target: targetOf(driver), kv: kvTypeOf(asked) };
    const activations = hasMatrixUnits(context.target) ? asked : 'exact';
    const plan = planHipMemory(config, { activations: asked });
    const blockBytes = kvBlockBytes(config, context.kv);
    const blocks = Math.floor(options.kvCacheBytes / blockBytes) + RESERVED_BLOCKS;
    const neededBytes = (isLoaded ? 0 : plan.weightBytes) + plan.workspaceBytes + options.kvCacheBytes;
    const { free } = driver.memory();
    if (neededBytes > free) throw new DeviceMemoryError(driver.info.name, neededBytes, free);

    const stream = own(driver.createStream(), (part) => part.destroy());
    const cache = new CompileCache({
      ...(options.cacheFolder === undefined ? {} : { folder: options.cacheFolder }),
      ...(logger === undefined ? {} : { logger }),
    });
    const compiling = {
      ...(options.compiler === undefined ? {} : { compiler: options.compiler }),
      ...(logger === undefined ? {} : { logger }),
    };
    const library = own(openRunnerLibrary(driver, { cache, ...compiling }), (part) => part.dispose());
    const nothingRead = { what: 'kernels', doneBytes: 0, totalBytes: tensorBytes };
    const kernels = await loadKernels(driver, library, context, activations, () =>
      onProgress({ ...nothingRead, readMs: 0, convertMs: 0, sessionMs: 0 }),
    );
    const router = own(
      await createHipRouter(
        { experts: config.experts, topK: config.expertsPerToken, logitsDtype: 'f32', dispatchPlan: true },
        {
          driver,
          prepare: 'none',
          ...(options.cacheFolder === undefined ? {} : { cacheFolder: options.cacheFolder }),
          ...compiling,
        },
      ),
      (part) => part.dispose(),
    );
    // No step shall wait for a compiler.
    for (let tokens = 1; tokens <= MOST_ROWS; tokens *= 2) await router.prepare({ tokens, padding: true });
    const planBytes = router.planWorkspaceBytes(MOST_ROWS);
    const workspace = own(new Workspace(driver, config, activations, planBytes), (part) => part.free());
    // What counts arrived blocks is 0 before the first call, and left so by every call.
    driver.fill(workspace.at.planWorkspace, 0, planBytes, stream);
    const { arrivals, choiceArrivals } = workspaceSizes(config, activations, planBytes);
    driver.fill(workspace.at.arrivals, 0, arrivals, stream);
    driver.fill(workspace.at.choiceArrivals, 0, choiceArrivals, stream);
    const rotary = own(new RotaryRows(driver, config), (part) => part.free());
    const kvBlocks = own(driver.allocate(blocks * blockBytes), (part) => part.free());
    const staging = own(new Staging(driver, config), (part) => part.free());
    const arrange: ArrangeCodes = (words, count) =>
      kernels.arrangeCodes.launch(stream, arrangeBlocks(count), { words, count });
    const loaded = own(await load(driver, stream, arrange), (part) => part.free());
    const sequences = new KvSequences(kvKinds(config), blocks);
    const routingBefore =
      routing === undefined
        ? null
        : await loadRoutingBefore(routing, { driver, stream, library, context }, (part) =>
            own(part, (buffer) => buffer.free()),
          );
    return new HipRunner(
      {
        context,
        kernels,
        router,
        weights: loaded,
        workspace,
        rotary,
        cache: kvBlocks.pointer,
        multiprocessors: driver.info.multiprocessors,
        candidates,
        routingBefore,
      },
      {
        driver,
        stream,
        sequences,
        tiles: tileRule(kernels, options.mostSplitTokens),
        staging,
        weightBytes: plan.weightBytes,
        usesGraphs: options.graphs ?? true,
        longestPassMs: options.longestPassMs ?? LONGEST_PASS_MS,
        release,
      },
    );
  } catch (error) {
    await release();
    throw error;
  }
}

function tileRule({ tiles }: HipKernels, mostSplitTokens = MOST_SPLIT_TOKENS): TileRule | null {
  if (tiles === null) return null;
  return { mostSplitTokens: tiles.rounded === null ? Number.POSITIVE_INFINITY : mostSplitTokens };
}
