/**
 * From the name of a runner to the runner. Each is loaded when it is asked for: the engine imports without the libraries
 * of those that it does not use.
 *
 * @module
 */
import type { RunnerModule, RunnerModuleOptions } from './runner-module.ts';
import { importOrtRunner } from './import-ort.ts';
import type { ModelRunner } from './runner.ts';
import { sampledOnHost } from './sampled-on-host.ts';

/**
 * Makes the runner of a module.
 *
 * @param url of a RunnerModule; null for ONNX Runtime's.
 */
export async function createRunner(url: string | null, options: RunnerModuleOptions): Promise<ModelRunner> {
  const module = await loadRunnerModule(url);
  const runner = await module.createRunner(options);
  if (!('forward' in runner)) return runner;
  const { config, tokenizer } = options.snapshot;
  const { layers, experts, expertsPerToken } = config;
  return sampledOnHost(runner, {
    routing: { layers, experts, topK: expertsPerToken },
    tokens: tokenizer.vocabularySize,
  });
}

async function loadRunnerModule(url: string | null): Promise<RunnerModule> {
  if (url !== null) return (await import(url)) as RunnerModule;
  const ort = await importOrtRunner();
  return {
    createRunner: ({ snapshot, expertPrecision, threads, router, logger, onProgress }) =>
      ort.createOrtRunner({
        snapshot,
        expertPrecision,
        router,
        logger,
        ...(threads === undefined ? {} : { threads }),
        onProgress,
      }),
  };
}
