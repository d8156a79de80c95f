/**
 * The kernels that are shipped compiled: whatever the runner loads for the embedded and the published models, on the GPUs that have matrix units and
 * those of RDNA 2.
 */

import { kernelKey, listKernels } from '@switchyard/gpu';
import type { KernelTarget, ListedKernel } from '@switchyard/gpu';
import type { ArchiveRequest, ObjectRequest } from '@switchyard/gpu/offline';
import { openSnapshot } from '@switchyard/models';
import type { GptOssConfig } from '@switchyard/models';
import { publishedConfig } from '@switchyard/models/testing';
import type { Activations } from '../runner-module.ts';
import type { KernelContext } from './kernel-form.ts';
import { loadKernels } from './kernels.ts';
import { kvTypeOf } from './sizes.ts';
import { readMemoryForm } from './read-kernel.ts';
import { hasMatrixUnits } from './tile-kernels.ts';

/**
 * What there are archives for, and a GPU of each. Generic processors stand for their whole family: for RDNA there is an
 * archive a generation.
 */
export const PREBUILT_TARGETS: readonly { readonly architecture: string; readonly gpu: KernelTarget }[] = [
  { architecture: 'gfx90a', gpu: { vendor: 'amd', architecture: 'gfx90a', waveSize: 64 } },
  { architecture: 'gfx942', gpu: { vendor: 'amd', architecture: 'gfx942', waveSize: 64 } },
  { architecture: 'gfx950', gpu: { vendor: 'amd', architecture: 'gfx950', waveSize: 64 } },
  { architecture: 'gfx10-3-generic', gpu: { vendor: 'amd', architecture: 'gfx1030', waveSize: 32 } },
  { architecture: 'gfx11-generic', gpu: { vendor: 'amd', architecture: 'gfx1100', waveSize: 32 } },
  { architecture: 'gfx12-generic', gpu: { vendor: 'amd', architecture: 'gfx1201', waveSize: 32 } },
];

/** Every kernel that the runner loads, and what `measureReadBandwidth` loads. */
export async function runnerKernels(
  config: GptOssConfig,
  target: KernelTarget,
  activations: Activations,
): Promise<readonly ListedKernel[]> {
  const context: KernelContext = { config, target, kv: kvTypeOf(activations) };
  const loaded = await listKernels(target, (driver, library) =>
    loadKernels(driver, library, context, hasMatrixUnits(target) ? activations : 'exact'),
  );
  return [...loaded, readMemoryForm(context)];
}

/** The models by name, the embedded one first. */
async function prebuiltModels(): Promise<ReadonlyMap<string, GptOssConfig>> {
  const snapshot = await openSnapshot();
  const { config } = snapshot;
  snapshot.dispose();
  const published = (['gpt-oss-20b', 'gpt-oss-120b'] as const).map((name) => [name, publishedConfig(name)] as const);
  return new Map([['the embedded model', config], ...published]);
}

/** What the archives consist of: an object for each unit of each model, each once. */
export async function prebuiltRequests(): Promise<readonly ArchiveRequest[]> {
  const models = await prebuiltModels();
  return Promise.all(
    PREBUILT_TARGETS.map(async ({ architecture, gpu }) => {
      const objects = new Map<string, ObjectRequest>();
      for (const [model, config] of models) {
        for (const activations of ['bf16', 'exact'] as const) {
          for (const { unit, symbol } of await runnerKernels(config, gpu, activations)) {
            const { defines } = unit;
            const key = kernelKey(unit, symbol);
            if (objects.has(key)) continue;
            const name = `${symbol} of ${model}${activations === 'exact' ? ', exact' : ''}`;
            objects.set(key, { name, source: unit.source(), defines, keys: [key] });
          }
        }
      }
      return { architecture, objects: [...objects.values()] };
    }),
  );
}
