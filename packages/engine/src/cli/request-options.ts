/**
 * From option values to what the engine takes.
 */

import { REASONING_EFFORTS } from '@switchyard/models';
import type { EngineOptions } from '../options.ts';
import { RUNNER_NAMES } from '../runners/runner-choice.ts';
import type { ConversationOptions, SamplingOptions } from '../request.ts';
import { readTools } from './input-files.ts';
import type { OptionValues } from './parse-options.ts';

const MEBIBYTE = 2 ** 20;

/** The same type without `undefined` and without `readonly`, to be filled in. */
type Draft<T> = { -readonly [K in keyof T]: T[K] };

export function engineOptions(values: OptionValues): EngineOptions {
  const options: Draft<EngineOptions> = {};
  const runner = values.choice('runner', ['auto', ...RUNNER_NAMES]);
  if (runner !== undefined) options.runner = runner;
  const device = values.text('device');
  if (device !== undefined) options.device = /^\d+$/.test(device) ? Number(device) : device;
  const router = values.choice('router', ['auto', 'cpu', 'hip', 'webgpu']);
  if (router !== undefined) options.router = router;
  const precision = values.choice('expert-precision', ['exact', 'int4']);
  if (precision !== undefined) options.expertPrecision = precision;
  const activations = values.choice('activations', ['bf16', 'exact']);
  if (activations !== undefined) options.activations = activations;
  const threads = values.number('threads');
  if (threads !== undefined) options.threads = threads;
  const memoryMiB = values.number('memory-mib');
  if (memoryMiB !== undefined) options.memoryLimitBytes = Math.floor(memoryMiB * MEBIBYTE);
  return options;
}

export async function conversationOptions(values: OptionValues): Promise<ConversationOptions> {
  const options: Draft<ConversationOptions> = {};
  const reasoning = values.choice('reasoning', REASONING_EFFORTS);
  if (reasoning !== undefined) options.reasoningEffort = reasoning;
  const date = values.text('date');
  if (date !== undefined) options.currentDate = date;
  const tools = values.text('tools');
  if (tools !== undefined) options.tools = await readTools(tools);
  return options;
}

export function samplingOptions(values: OptionValues): SamplingOptions & { maxTokens?: number; stop?: string } {
  const options: Draft<SamplingOptions> & { maxTokens?: number; stop?: string } = {};
  const set = (name: string, assign: (value: number) => void): void => {
    const value = values.number(name);
    if (value !== undefined) assign(value);
  };
  set('max-tokens', (value) => (options.maxTokens = value));
  set('temperature', (value) => (options.temperature = value));
  set('top-p', (value) => (options.topP = value));
  set('top-k', (value) => (options.topK = value));
  set('min-p', (value) => (options.minP = value));
  set('seed', (value) => (options.seed = value));
  const stop = values.text('stop');
  if (stop !== undefined) options.stop = stop;
  return options;
}
