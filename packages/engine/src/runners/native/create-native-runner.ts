/**
 * Makes the native runner of a checkpoint.
 */

import { environmentVariables, usableProcessors } from '@switchyard/gpu/environment';
import type { GptOssConfig, Snapshot } from '@switchyard/models';
import { createRouter } from '@switchyard/router-kernel';
import type { Router, RouterBackend } from '@switchyard/router-kernel';
import type { Logger } from '../../logger.ts';
import { kvKinds, kvLayers } from '../kv-bytes.ts';
import { KvSequences } from '../kv-sequences.ts';
import type { LoadingStep } from '../load-plan.ts';
import type { LogitsRunner } from '../logits-runner.ts';
import { checkShape, checkWeights } from './check-checkpoint.ts';
import { NativeMemoryError } from './errors.ts';
import { loadNativeLibrary } from './library.ts';
import type { LibraryEntry } from './library.ts';
import { networkFileSystemOf } from './network-mount.ts';
import { NativeRunner } from './native-runner.ts';
import { kvBlocksFor, planNativeMemory } from './plan-memory.ts';
import { WeightAddresses } from './weight-addresses.ts';

/** What is used of a snapshot. */
export type NativeCheckpoint = Pick<Snapshot, 'config' | 'weights' | 'tensorBytes'> & {
  readonly tokenizer: Pick<Snapshot['tokenizer'], 'vocabularySize'>;
  /** The folder; default none. */
  readonly path?: string;
};

/** Options of `createNativeRunner`. */
export interface NativeRunnerOptions {
  /**
   * The checkpoint: MXFP4 experts, other matrices in bf16. They are read where the files are mapped, in every step: it
   * must outlive the runner, and nothing may cut the files short, which would end the process. What lies on a network is
   * copied into memory.
   */
  readonly snapshot: NativeCheckpoint;
  /** KV memory to hand out, in bytes; rounded down to blocks of 16 positions. */
  readonly kvCacheBytes: number;
  /**
   * Threads to compute with. Defaults to one a core that the process may use, small cores of a processor that has two
   * kinds left out; at most as many as it may run at once, by its
   * CPU affinity and quota.
   */
  readonly threads?: number;
  /** The router. `'auto'` takes the CPU, where the logits are, unless SWITCHYARD_ROUTER names another. Defaults to
   * `'auto'`. */
  readonly router?: RouterBackend | 'auto';
  /** The router's GPU, as `createRouter` takes it. */
  readonly device?: number | string;
  /** The library to compute with. Defaults to the best for this machine. */
  readonly library?: LibraryEntry;
  readonly logger?: Logger;
  /** Hears of the load after every layer. What it throws ends the load. */
  readonly onProgress?: (step: LoadingStep) => void;
}

/**
 * Makes the runner that computes on the CPU by a library of this package.
 *
 * @throws UnsupportedCheckpointError, NativeLibraryError before anything is read; NativeMemoryError; what the router
 * throws where the named backend cannot start
 */
export async function createNativeRunner(options: NativeRunnerOptions): Promise<LogitsRunner> {
  const { snapshot, kvCacheBytes, threads, logger, onProgress = () => {} } = options;
  const { config } = snapshot;
  checkShape(config);
  checkWeights(snapshot.weights);
  const library = options.library === undefined ? loadNativeLibrary() : loadNativeLibrary(options.library);
  const usable = usableProcessors();
  const own = threads === undefined ? usable.performanceCores : Math.min(threads, usable.threads);
  const router = await startRouter(config, options);
  const blocks = kvBlocksFor(config, kvCacheBytes);
  const sizes = sizesOf(config, snapshot.tokenizer.vocabularySize);
  const model = library.open(sizes, config.rmsNormEpsilon, config.swigluLimit, own, blocks);
  if (model === null) {
    await router.dispose();
    throw new NativeMemoryError('the KV cache');
  }
  try {
    logger?.debug?.(`The native runner computes with ${library.entry.file} on ${own} threads.`);
    const network = snapshot.path === undefined ? null : networkFileSystemOf(snapshot.path);
    if (network !== null)
      logger?.info?.(`Weights are copied into memory: the checkpoint lies on a network (${network}).`);
    const weights = new WeightAddresses(config, network !== null, (address, bytes) =>
      library.preferLargePages(address, bytes),
    );
    const started = performance.now();
    for (const [index, layer] of snapshot.weights.layers.entries()) {
      library.setLayer(model, index, weights.layer(index, layer));
      onProgress({
        what: `layer ${index + 1} of ${config.layers}`,
        doneBytes: Math.round((snapshot.tensorBytes * (index + 1)) / config.layers),
        totalBytes: snapshot.tensorBytes,
        readMs: performance.now() - started,
        convertMs: 0,
        sessionMs: 0,
      });
    }
    library.setEnds(model, weights.ends(snapshot.weights));
    return new NativeRunner({
      config,
      library,
      model,
      threads: own,
      weights,
      weightBytes: planNativeMemory(config).weightBytes,
      router,
      sequences: new KvSequences(kvKinds(config), blocks),
    });
  } catch (error) {
    library.close(model);
    await router.dispose();
    throw error;
  }
}

/** The CPU's router, unless another is asked for: by the options or the environment. */
function startRouter(
  config: GptOssConfig,
  { router: backend = 'auto', device }: Pick<NativeRunnerOptions, 'router' | 'device'>,
): Promise<Router> {
  const { SWITCHYARD_ROUTER: named, SWITCHYARD_DEVICE: namedDevice } = environmentVariables();
  const isChosen = device !== undefined || named !== undefined || namedDevice !== undefined;
  return createRouter({
    experts: config.experts,
    topK: config.expertsPerToken,
    dispatchPlan: true,
    backend: backend === 'auto' && !isChosen ? 'cpu' : backend,
    ...(device === undefined ? {} : { device }),
  });
}

/** `Sizes` of kernels/native/model.h. */
function sizesOf(config: GptOssConfig, candidates: number): Int32Array {
  return Int32Array.of(
    config.hiddenSize,
    config.intermediateSize,
    config.layers,
    config.experts,
    config.expertsPerToken,
    config.attentionHeads,
    config.keyValueHeads,
    config.headDim,
    config.vocabularySize,
    Math.min(candidates, config.vocabularySize),
    config.slidingWindow,
    kvLayers(config),
  );
}
