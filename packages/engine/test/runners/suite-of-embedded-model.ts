import type { Snapshot } from '@switchyard/models';
import { ORT_ENTRY } from '../../src/runners/ort/ort-entry.ts';
import { createOrtRunner } from '../../src/runners/ort/index.ts';
import type { LogitsRunner } from '../../src/runners/logits-runner.ts';
import type { ModelRunner } from '../../src/runners/runner.ts';
import { sampledOnHost } from '../../src/runners/sampled-on-host.ts';
import type { RunnerSuiteOptions } from '../../src/runners/suite/index.ts';
import { goldenPrompts } from '../golden/golden-prompts.ts';

/** What f32 on a CPU has to keep. */
export const F32_SUITE: RunnerSuiteOptions = {
  golden: goldenPrompts,
  window: 128,
  tolerances: { betweenKinds: ORT_ENTRY.betweenKinds, logit: 5e-3, nll: 1e-3, routerWeight: 1e-4 },
};

/** ONNX Runtime's runner of a checkpoint, perhaps changed on its way. */
export async function ortRunner(
  snapshot: Snapshot,
  change: (runner: LogitsRunner) => LogitsRunner = (runner) => runner,
): Promise<ModelRunner> {
  const { layers, experts, expertsPerToken } = snapshot.config;
  const runner = change(await createOrtRunner({ snapshot, router: 'cpu' }));
  return sampledOnHost(runner, { routing: { layers, experts, topK: expertsPerToken } });
}
