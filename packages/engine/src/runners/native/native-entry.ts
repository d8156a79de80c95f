/**
 * The native runner before its library is loaded.
 */

import { processMemory } from '../../memory/process-memory.ts';
import { kvBytesOf } from '../kv-bytes.ts';
import type { RunnerEntry } from '../runner-entry.ts';
import { UnsupportedPrecisionError } from './errors.ts';
import { planNativeMemory } from './plan-memory.ts';

export const NATIVE_ENTRY: RunnerEntry = {
  precisions: ['exact'],
  assertUsable: async () => {
    const { chooseLibrary, nativeLibraries } = await import('./library.ts');
    chooseLibrary(nativeLibraries());
  },
  planMemory: (config) => planNativeMemory(config),
  // Decode computes experts' activations with 15 bits, prefill in f32.
  betweenKinds: 5e-3,
  prefillChunk: 256,
  kvBytes: (config) => kvBytesOf(config, 'f32'),
  // It computes in the process's own memory.
  deviceMemory: () => processMemory(),
  load: async () => {
    const { createNativeRunner } = await import('./index.ts');
    return {
      createRunner: async ({
        snapshot,
        expertPrecision,
        threads,
        router,
        device,
        kvCacheBytes,
        logger,
        onProgress,
      }) => {
        if (expertPrecision !== 'exact') throw new UnsupportedPrecisionError(expertPrecision);
        return createNativeRunner({
          snapshot,
          kvCacheBytes,
          router,
          logger,
          onProgress,
          ...(threads === undefined ? {} : { threads }),
          ...(device === undefined ? {} : { device }),
        });
      },
    };
  },
};
