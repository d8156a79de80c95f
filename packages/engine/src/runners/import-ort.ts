import { reasonOf } from '../contain.ts';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { LogitsRunner } from './logits-runner.ts';
import { RunnerLibraryError } from './errors.ts';
import { installCommand } from './install-command.ts';
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
    const command = installCommand(`${LIBRARY}@${wantedVersion()}`, fileURLToPath(import.meta.url));
    throw new RunnerLibraryError(LIBRARY, firstLine(cause), command, cause);
  }
  return import('./ort/index.ts');
}

/** The version that this package is made for: a name alone would install the newest. */
function wantedVersion(): string {
  const manifest = createRequire(import.meta.url)('../../package.json') as {
    readonly optionalDependencies: Readonly<Record<string, string>>;
  };
  return manifest.optionalDependencies[LIBRARY] ?? 'latest';
}

function firstLine(error: unknown): string {
  const [line = ''] = reasonOf(error).split('\n');
  return line.replace(/ imported from .*$/u, '');
}
