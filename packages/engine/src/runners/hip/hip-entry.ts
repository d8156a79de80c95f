/**
 * The GPU runner before any GPU library is loaded.
 */

import type { ProcessMemory } from '../../memory/process-memory.ts';
import { kvBytesOf } from '../kv-bytes.ts';
import type { RunnerEntry } from '../runner-entry.ts';
import { assertGpuPresent } from './gpu-presence.ts';
import { planHipMemory } from './plan-memory.ts';
import { kvTypeOf } from './sizes.ts';

export const HIP_ENTRY = {
  precisions: ['exact'],
  usesGpu: true,
  assertPresent: () => assertGpuPresent(),
  planMemory: (config, { activations }) => planHipMemory(config, { activations }),
  betweenKinds: 2e-4,
  // What answers in progress wait for; a prompt that nobody waits beside goes by two such pieces at a time.
  prefillChunk: 1024,
  kvBytes: (config, activations) => kvBytesOf(config, kvTypeOf(activations)),
  deviceMemory: async (device): Promise<ProcessMemory | null> => {
    const { deviceMemory } = await import('./device-memory.ts');
    return deviceMemory(device);
  },
  load: async () => {
    const { createHipRunner } = await import('./index.ts');
    return {
      createRunner: ({ snapshot, expertPrecision, activations, device, logger, onProgress, kvCacheBytes }) => {
        if (expertPrecision !== 'exact')
          logger.info(`The GPU runner computes experts exactly, not as ${expertPrecision}.`);
        return createHipRunner({
          snapshot,
          kvCacheBytes,
          activations,
          logger,
          onProgress,
          ...(device === undefined ? {} : { device }),
        });
      },
    };
  },
} satisfies RunnerEntry;
