import type { Snapshot } from '@switchyard/models';
import { createNativeRunner } from '../../../src/runners/native/index.ts';
import { NATIVE_ENTRY } from '../../../src/runners/native/native-entry.ts';
import type { LibraryEntry } from '../../../src/runners/native/library.ts';
import type { ModelRunner } from '../../../src/runners/runner.ts';
import { sampledOnHost } from '../../../src/runners/sampled-on-host.ts';
import type { RunnerSuiteOptions } from '../../../src/runners/suite/index.ts';
import { goldenPrompts } from '../../golden/golden-prompts.ts';

export const NATIVE_SUITE: RunnerSuiteOptions = {
  golden: goldenPrompts,
  window: 128,
  tolerances: { betweenKinds: NATIVE_ENTRY.betweenKinds, logit: 5e-3, nll: 1e-4, routerWeight: 1e-4 },
};

/** The runner that the suite is run on. @param library defaults to the one that is chosen for this machine */
export async function nativeSuiteRunner(snapshot: Snapshot, library?: LibraryEntry): Promise<ModelRunner> {
  const { layers, experts, expertsPerToken } = snapshot.config;
  const chosen = library === undefined ? {} : { library };
  return sampledOnHost(await createNativeRunner({ snapshot, kvCacheBytes: 2 ** 28, ...chosen }), {
    routing: { layers, experts, topK: expertsPerToken },
  });
}
