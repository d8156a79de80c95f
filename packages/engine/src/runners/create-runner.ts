/**
 * From the name of a runner to the runner. Each is loaded when it is asked for: the engine imports without the libraries
 * of those that it does not use.
 */

import type { RunnerName } from './runner-choice.ts';
import type { RunnerModule, RunnerModuleOptions } from './runner-module.ts';
import { RUNNERS } from './runner-table.ts';
import type { ModelRunner } from './runner.ts';
import { routingShapeOf } from './routing-record.ts';
import { sampledOnHost } from './sampled-on-host.ts';

/** A runner of the engine's own, or the URL of a RunnerModule. */
export type RunnerSource = { readonly name: RunnerName } | { readonly url: string };

/** Makes a runner. One that leaves its logits in host memory gets its tokens chosen there. */
export async function createRunner(source: RunnerSource, options: RunnerModuleOptions): Promise<ModelRunner> {
  const module = 'url' in source ? ((await import(source.url)) as RunnerModule) : await RUNNERS[source.name].load();
  const runner = await module.createRunner(options);
  if (!('forward' in runner)) return runner;
  const { config, tokenizer } = options.snapshot;
  return sampledOnHost(runner, {
    routing: routingShapeOf(config),
    tokens: tokenizer.vocabularySize,
  });
}
