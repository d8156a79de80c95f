/** `router-kernel devices`: which backends can run here, and why the others cannot. */

import { createRouter } from '../create-router.ts';
import type { RouterBackend } from '../contract.ts';
import { BackendUnavailableError, RouterError } from '../errors.ts';
import { defineCommand } from './command.ts';

interface BackendReport {
  readonly backend: RouterBackend;
  /** The device's name; null where the backend cannot run. */
  readonly device: string | null;
  /** Why it cannot run; null where it can. */
  readonly reason: string | null;
  readonly code: string | null;
  readonly tried: readonly string[];
}

export const devicesCommand = defineCommand({
  summary: 'Show which backends can run here, and why the others cannot.',
  options: {
    json: { type: 'boolean', description: 'Print one JSON object.' },
  },
  run: async ({ json }, io) => {
    const reports: BackendReport[] = [];
    for (const backend of ['hip', 'webgpu', 'cpu'] as const) reports.push(await probe(backend));
    if (json) {
      io.out(`${JSON.stringify({ backends: reports })}\n`);
      return 0;
    }
    for (const { backend, device, reason, tried } of reports) {
      io.out(`${backend.padEnd(6)}  ${device ?? `not available. ${reason ?? ''}`}\n`);
      for (const attempt of tried) io.out(`${' '.repeat(8)}tried ${attempt}\n`);
    }
    return 0;
  },
});

/** Starts the smallest router of a backend: only a start shows that every part of it is there. */
async function probe(backend: RouterBackend): Promise<BackendReport> {
  try {
    await using router = await createRouter({ experts: 32, topK: 4, backend });
    return { backend, device: router.device, reason: null, code: null, tried: [] };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const tried = error instanceof BackendUnavailableError ? error.tried : [];
    return { backend, device: null, reason: error.message, code: error.code, tried };
  }
}
