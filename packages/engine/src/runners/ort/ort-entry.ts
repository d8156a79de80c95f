/**
 * The ONNX Runtime runner before ONNX Runtime is loaded.
 */

import { processMemory } from '../../memory/process-memory.ts';
import { importOrtRunner } from '../import-ort.ts';
import type { RunnerEntry } from '../runner-entry.ts';
import { KvCache } from './kv-cache.ts';
import { planOrtMemory } from './plan-memory.ts';

export const ORT_ENTRY: RunnerEntry = {
  precisions: ['exact', 'int4'],
  planMemory: planOrtMemory,
  betweenKinds: 2e-4,
  prefillChunk: 256,
  kvBytes: ({ layerTypes, keyValueHeads, headDim, slidingWindow }) => {
    const cache = new KvCache({ layerTypes, keyValueHeads, headDim, window: slidingWindow });
    return (tokens) => cache.bytes(tokens);
  },
  // It computes in the process's own memory.
  deviceMemory: () => processMemory(),
  load: async () => {
    const ort = await importOrtRunner();
    return {
      createRunner: ({ snapshot, expertPrecision, threads, router, device, logger, onProgress }) =>
        ort.createOrtRunner({
          snapshot,
          expertPrecision,
          router,
          logger,
          onProgress,
          ...(threads === undefined ? {} : { threads }),
          ...(device === undefined ? {} : { device }),
        }),
    };
  },
};
