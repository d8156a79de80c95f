/** A runner module, as built: a published shape on the GPU, with weights made there, that speaks the embedded model's tokens. */

import { publishedConfig } from '@switchyard/models/testing';

const { createSyntheticHipRunner } = await import(new URL('../dist/runners/hip/index.js', import.meta.url).href);

/** `runnerOptions`: the shape, and how many ids from 0 up may be chosen. */
export function createRunner({ kvCacheBytes, runnerOptions: { shape, candidates } }) {
  return createSyntheticHipRunner({ config: publishedConfig(shape), candidates, kvCacheBytes });
}
