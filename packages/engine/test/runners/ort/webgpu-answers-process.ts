/**
 * Answers every reference prompt by an engine whose router runs on SwiftShader, in a process of its own: from then on
 * the process knows no other Vulkan driver. Prints one JSON object.
 */

import { createWebGpuRouter } from '@switchyard/router-kernel/webgpu';
import { Engine } from '../../../src/engine.ts';
import { reference } from '../../golden/reference.ts';

/** What this program prints. */
export interface WebGpuAnswers {
  /** Why there is no WebGPU here; null where there is. */
  readonly unavailable: string | null;
  readonly router: { readonly backend: string; readonly device: string } | null;
  /** Token ids of the greedy answer to each reference prompt, one after another. */
  readonly alone: readonly (readonly number[])[];
  /** The same, all prompts at once. */
  readonly together: readonly (readonly number[])[];
  /** The Vulkan driver, for other processes. */
  readonly driver: string | null;
}

async function answer(): Promise<WebGpuAnswers> {
  try {
    await (await createWebGpuRouter({ experts: 1, topK: 1 }, { software: true })).dispose();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'BACKEND_UNAVAILABLE')) throw error;
    return { unavailable: error.message, router: null, alone: [], together: [], driver: null };
  }
  await using engine = await Engine.load(undefined, { router: 'webgpu' });
  const complete = async ({ ids, greedy }: (typeof reference)[number]): Promise<readonly number[]> =>
    (await engine.complete({ promptIds: ids, maxTokens: greedy.length, reusePrefix: false })).ids;
  const alone: (readonly number[])[] = [];
  for (const prompt of reference) alone.push(await complete(prompt));
  const together = await Promise.all(reference.map(complete));
  const driver = process.env['VK_ICD_FILENAMES'] ?? null;
  return { unavailable: null, router: engine.model.router, alone, together, driver };
}

process.stdout.write(JSON.stringify(await answer()));
