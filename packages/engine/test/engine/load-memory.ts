import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** What loading the embedded checkpoint took in a process of its own. */
export interface LoadFigures {
  /** Resident memory above Node with ONNX Runtime loaded, 10^6 bytes. */
  readonly megabytes: number;
  readonly milliseconds: number;
}

/** Loads the embedded checkpoint with `Engine.load` in a fresh process. The package must be built. */
export async function measureLoad(): Promise<LoadFigures> {
  const script = fileURLToPath(new URL('load-memory-process.mjs', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script]);
  return JSON.parse(stdout) as LoadFigures;
}
