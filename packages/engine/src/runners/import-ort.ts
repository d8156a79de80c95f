import type { LogitsRunner } from './logits-runner.ts';
import { RunnerLibraryError } from './errors.ts';
import type { OrtRunnerOptions } from './ort/index.ts';

const LIBRARY = 'onnxruntime-node';

/** What runners/ort exports. */
export interface OrtRunnerModule {
  createOrtRunner(options: OrtRunnerOptions): Promise<LogitsRunner>;
}

/**
 * The ONNX Runtime runner. ONNX Runtime is an optional dependency: nothing but this call loads it.
 *
 * @throws RunnerLibraryError where it is not installed, or has no build for this system
 */
export async function importOrtRunner(): Promise<OrtRunnerModule> {
  try {
    await import('onnxruntime-node');
  } catch (cause) {
    throw new RunnerLibraryError(LIBRARY, firstLine(cause), cause);
  }
  return import('./ort/index.ts');
}

function firstLine(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line.replace(/ imported from .*$/u, '');
}
