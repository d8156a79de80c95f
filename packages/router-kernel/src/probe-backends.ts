/**
 * Which backends can run on this machine.
 */

import type { RouterBackend } from './contract.ts';
import { createRouter } from './create-router.ts';
import { BackendUnavailableError, RouterError } from './errors.ts';

/** One backend on this machine. */
export interface BackendReport {
  readonly backend: RouterBackend;
  /** The device's name; null where the backend cannot run. */
  readonly device: string | null;
  /** Why it cannot run; null where it can. */
  readonly reason: string | null;
  readonly code: string | null;
  /** What was looked for, such as library names. */
  readonly tried: readonly string[];
}

/** Tries every backend, in the order that `'auto'` prefers. Errors that are no RouterError are defects, and thrown. */
export async function probeBackends(): Promise<BackendReport[]> {
  const reports: BackendReport[] = [];
  for (const backend of ['hip', 'webgpu', 'cpu'] as const) reports.push(await probe(backend));
  return reports;
}

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
