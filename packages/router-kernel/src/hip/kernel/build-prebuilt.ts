/** Builds the bundle of shipped code objects and its manifest. */

import { createHash } from 'node:crypto';
import { packBundle, placeKernelArguments } from '@switchyard/gpu';
import { compileOffline, findLlvm, LLVM_VERSION, readKernelResources } from '@switchyard/gpu/offline';
import { ROUTER_KERNEL_ARGUMENTS } from './argument-lists.ts';
import { PREBUILT_BUNDLE, PREBUILT_TARGETS, prebuiltKernels, sourceOfAll } from './prebuilt-kernels.ts';
import type { PrebuiltManifest } from './prebuilt-kernels.ts';
import { KernelCompileError } from '../../errors.ts';

/**
 * Compiles every kernel for every architecture: about a minute.
 *
 * @throws KernelCompileError, also where LLVM is not installed
 */
export function buildPrebuilt(): { readonly bundle: Uint8Array; readonly manifest: PrebuiltManifest } {
  const compiler = findLlvm();
  if (compiler === null) {
    const message = `LLVM ${LLVM_VERSION} was not found · install clang-${LLVM_VERSION}, lld-${LLVM_VERSION} and llvm-${LLVM_VERSION}`;
    throw new KernelCompileError('amdgcn', '', message);
  }
  const objects = new Map<string, Uint8Array>();
  const architectures = PREBUILT_TARGETS.map((target) => {
    const { architecture, waveSize } = target;
    const kernels = prebuiltKernels(target);
    const object = compileOffline({ source: sourceOfAll(kernels), architecture });
    objects.set(architecture, object);
    const resources = new Map(readKernelResources(object).map((found) => [found.symbol, found]));
    return {
      architecture,
      waveSize,
      bytes: object.length,
      kernels: kernels.map(({ models, specialization }) => {
        const { symbol, lanesPerToken, tokensPerBlock, threadsPerBlock, loadBytes } = specialization;
        const taken = resources.get(symbol);
        if (taken === undefined) throw new RangeError(`The object for ${architecture} lacks ${symbol}.`);
        return { models, ...taken, lanesPerToken, tokensPerBlock, threadsPerBlock, loadBytes };
      }),
    };
  });
  const bundle = packBundle(objects);
  const sha256 = createHash('sha256').update(bundle).digest('hex');
  const { placed } = placeKernelArguments(ROUTER_KERNEL_ARGUMENTS);
  return {
    bundle,
    manifest: {
      compiler,
      bundle: { file: PREBUILT_BUNDLE, bytes: bundle.length, sha256 },
      arguments: placed.map(({ name, type, offset }) => ({ name, type, offset })),
      architectures,
    },
  };
}
