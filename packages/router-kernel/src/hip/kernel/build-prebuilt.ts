/** Builds the bundle of shipped code objects and its manifest. */

import { createHash } from 'node:crypto';
import { packBundle, placeKernelArguments } from '@switchyard/gpu';
import {
  compileAllOffline,
  disassemble,
  findLlvm,
  LLVM_VERSION,
  parseListing,
  readKernelResources,
} from '@switchyard/gpu/offline';
import { ROUTER_KERNEL_ARGUMENTS } from './argument-lists.ts';
import { PREBUILT_BUNDLE, PREBUILT_TARGETS, prebuiltKernels, sourceOfForms } from './prebuilt-kernels.ts';
import type { PrebuiltKernel, PrebuiltManifest } from './prebuilt-kernels.ts';
import { KernelCompileError } from '../../errors.ts';

/**
 * Compiles every kernel for every architecture: minutes of processor time, over as many cores as there are.
 *
 * @throws KernelCompileError, also where LLVM is not installed
 */
export async function buildPrebuilt(): Promise<{ readonly bundle: Uint8Array; readonly manifest: PrebuiltManifest }> {
  const compiler = findLlvm();
  if (compiler === null) {
    const message = `LLVM ${LLVM_VERSION} was not found · install clang-${LLVM_VERSION}, lld-${LLVM_VERSION} and llvm-${LLVM_VERSION}`;
    throw new KernelCompileError('amdgcn', '', message);
  }
  const requests = PREBUILT_TARGETS.map((target) => {
    const kernels = prebuiltKernels(target);
    return { target, kernels, source: sourceOfForms(kernels.map(({ form }) => form)) };
  });
  const compiled = await compileAllOffline(
    requests.map(({ target, source }) => ({ source, architecture: target.architecture })),
  );
  const objects = new Map<string, Uint8Array>();
  const architectures = requests.map(({ target, kernels, source }, index) => {
    const { architecture, waveSize } = target;
    const object = compiled[index] ?? new Uint8Array(0);
    objects.set(architecture, object);
    return {
      architecture,
      waveSize,
      bytes: object.length,
      source: sha256(source),
      kernels: describeKernels(architecture, object, kernels),
    };
  });
  const bundle = packBundle(objects);
  const { placed } = placeKernelArguments(ROUTER_KERNEL_ARGUMENTS);
  return {
    bundle,
    manifest: {
      compiler,
      bundle: { file: PREBUILT_BUNDLE, bytes: bundle.length, sha256: sha256(bundle) },
      arguments: placed.map(({ name, type, offset }) => ({ name, type, offset })),
      architectures,
    },
  };
}

/** What the manifest says of an object's kernels. @throws RangeError where the object lacks one */
export function describeKernels(
  architecture: string,
  object: Uint8Array,
  kernels: readonly PrebuiltKernel[],
): PrebuiltManifest['architectures'][number]['kernels'] {
  const resources = new Map(readKernelResources(object).map((found) => [found.symbol, found]));
  const code = parseListing(disassemble(object));
  return kernels.map(({ models, form }) => {
    const taken = resources.get(form.symbol);
    if (taken === undefined) throw new RangeError(`The object for ${architecture} lacks ${form.symbol}.`);
    const instructions = code.get(form.symbol)?.length ?? 0;
    return { models, unit: form.source, ...taken, instructions, ...form.geometry };
  });
}

/** The manifest as text: a line for each kernel, so that a change shows which. */
export function manifestText({ architectures, ...head }: PrebuiltManifest): string {
  const listed = architectures.map(({ kernels, ...about }) => {
    const lines = kernels.map((kernel) => `      ${JSON.stringify(kernel)}`).join(',\n');
    return `    ${JSON.stringify(about).slice(0, -1)},"kernels":[\n${lines}\n    ]}`;
  });
  return `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "architectures": [\n${listed.join(',\n')}\n  ]\n}\n`;
}

export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
