import { HIP_ENTRY } from './hip/hip-entry.ts';
import { NATIVE_ENTRY } from './native/native-entry.ts';
import { ORT_ENTRY } from './ort/ort-entry.ts';
import type { RunnerName } from './runner-choice.ts';
import type { RunnerEntry } from './runner-entry.ts';

/** Every runner. A new one gets its row here and its name in runner-choice.ts. */
export const RUNNERS: Readonly<Record<RunnerName, RunnerEntry>> = {
  native: NATIVE_ENTRY,
  onnxruntime: ORT_ENTRY,
  hip: HIP_ENTRY,
};
