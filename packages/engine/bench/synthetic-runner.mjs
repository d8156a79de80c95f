/** A runner module: a published shape on the GPU, with weights made there, that speaks the embedded model's tokens. */

import { publishedConfig } from '@switchyard/models/testing';
import type { PublishedModel } from '@switchyard/models/testing';
import { createSyntheticHipRunner } from '../src/runners/hip/index.ts';
import type { LogitsRunner } from '../src/runners/logits-runner.ts';
import type { RunnerModuleOptions } from '../src/runners/runner-module.ts';

/** The shape is `runnerOptions`. */
export function createRunner({ snapshot, kvCacheBytes, runnerOptions }: RunnerModuleOptions): Promise<LogitsRunner> {
  return createSyntheticHipRunner({
    config: publishedConfig(runnerOptions as PublishedModel),
    candidates: snapshot.tokenizer.vocabularySize,
    kvCacheBytes,
  });
}
