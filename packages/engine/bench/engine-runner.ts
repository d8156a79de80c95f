import { openSnapshot } from '@switchyard/models';
import type { PublishedModel } from '@switchyard/models/testing';
import type { EngineOptions } from '../dist/options.js';
import type { RunnerName } from '../dist/runners/runner-choice.js';

/** What a decoder makes of bytes that are no character yet. */
const UNFINISHED = '\ufffd';

/** How many of the embedded model's ids from 0 up are text by themselves: what is chosen among them arrives token by token. */
export async function embeddedTextIds(): Promise<number> {
  using snapshot = await openSnapshot();
  const { tokenizer } = snapshot;
  let id = 0;
  while (id < tokenizer.vocabularySize && !tokenizer.decode([id]).includes(UNFINISHED)) id++;
  return id;
}

/** What an engine runs on: a runner by its name, or a shape with weights that the GPU makes, which chooses such ids. */
export async function engineRunner(
  runner: RunnerName,
  shape: PublishedModel | undefined,
): Promise<Pick<EngineOptions, 'runner' | 'runnerModule' | 'runnerOptions'>> {
  if (shape === undefined) return { runner };
  return {
    runnerModule: new URL('./synthetic-runner.mjs', import.meta.url).href,
    runnerOptions: { shape, candidates: await embeddedTextIds() },
  };
}
