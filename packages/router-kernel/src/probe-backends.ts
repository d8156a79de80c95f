/**
 * Which backends can run on this machine.
 */

import type { RouterBackend } from './contract.ts';
import { createRouter } from './create-router.ts';
import { BackendUnavailableError, RouterError } from './errors.ts';

/** One GPU that backend `'hip'` can be given. */
export interface GpuReport {
  /** Its name for the option `device`, such as `'amd:0'`. */
  readonly id: string;
  readonly name: string;
  /** Such as `'gfx942'` or `'sm_90'`. */
  readonly architecture: string;
  /** Bytes of its memory; of an integrated GPU, what it may have of the host's. */
  readonly memoryBytes: number;
  readonly isIntegrated: boolean;
  /** Whether it is the one that is taken where the option `device` names none. */
  readonly isDefault: boolean;
}

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
  /** Every GPU that can be chosen by the option `device`: of `'hip'`, and none of the others. */
  readonly devices: readonly GpuReport[];
  /** Environment variables that are set and decide which GPUs are seen, as `NAME=value`. */
  readonly variables: readonly string[];
}

/** Tries every backend, in the order that `'auto'` prefers. Errors that are no RouterError are defects, and thrown. */
export async function probeBackends(): Promise<BackendReport[]> {
  const reports: BackendReport[] = [];
  for (const backend of ['hip', 'webgpu', 'cpu'] as const) reports.push(await probe(backend));
  return reports;
}

/** Starts the smallest router of a backend: only a start shows that every part of it is there. */
async function probe(backend: RouterBackend): Promise<BackendReport> {
  const gpus = backend === 'hip' ? await listGpus() : { devices: [], variables: [] };
  try {
    await using router = await createRouter({ experts: 32, topK: 4, backend });
    return { backend, device: router.device, reason: null, code: null, tried: [], ...gpus };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const tried = error instanceof BackendUnavailableError ? error.tried : [];
    return { backend, device: null, reason: error.message, code: error.code, tried, ...gpus };
  }
}

async function listGpus(): Promise<Pick<BackendReport, 'devices' | 'variables'>> {
  // Where the driver's module does not load, starting the backend says why.
  const gpu = await import('@switchyard/gpu').catch(() => null);
  if (gpu === null) return { devices: [], variables: [] };
  const { devices, preferred, variables } = gpu.listGpuDevices();
  return {
    devices: devices.map((device) => ({
      id: gpu.deviceId(device),
      name: device.name,
      architecture: device.architecture,
      memoryBytes: device.memoryBytes,
      isIntegrated: device.isIntegrated,
      isDefault: device === preferred,
    })),
    variables,
  };
}
