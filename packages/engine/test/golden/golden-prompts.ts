import type { GoldenPrompt } from '../../src/runners/suite/index.ts';
import { embeddedGoldenPrompts } from '../../src/device-check/golden-prompts.ts';

/** What transformers computed, as the runner suite takes it. */
export const goldenPrompts: readonly GoldenPrompt[] = await embeddedGoldenPrompts();
