/** The GPU runner on a GPU that is emulated on the CPU. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmulatedGpu, emulatedGpu } from '@switchyard/gpu/testing';
import type { Snapshot } from '@switchyard/models';
import { type HipRunnerOptions, createHipRunner } from '../../../src/runners/hip/index.ts';
import type { LogitsRunner } from '../../../src/runners/logits-runner.ts';

/** Targets of both wave sizes. */
export const EMULATED_TARGETS = [
  { vendor: 'amd', architecture: 'gfx1101', waveSize: 32 },
  { vendor: 'amd', architecture: 'gfx908', waveSize: 64 },
] as const;

/** Stands for NVIDIA, whose matrix instructions are emulated in waves of 32. */
export const NVIDIA_TARGET = { vendor: 'nvidia', architecture: 'sm_90', waveSize: 32 } as const;

export type EmulatedTarget = (typeof EMULATED_TARGETS)[number] | typeof NVIDIA_TARGET;

/** A runner and its device. */
export interface EmulatedRunner extends AsyncDisposable {
  readonly runner: LogitsRunner;
  readonly gpu: EmulatedGpu;
}

/** Room for some thousand tokens. */
const KV_BYTES = 64 * 2 ** 20;

export async function emulatedRunner(
  snapshot: Snapshot,
  target: EmulatedTarget,
  options: Partial<HipRunnerOptions> = {},
): Promise<EmulatedRunner> {
  const gpu = emulatedGpu({ target });
  const cacheFolder = mkdtempSync(join(tmpdir(), 'switchyard-emulated-'));
  const release = (): void => {
    gpu.dispose();
    rmSync(cacheFolder, { recursive: true, force: true });
  };
  try {
    const { driver, compiler } = gpu;
    const runner = await createHipRunner({
      snapshot,
      kvCacheBytes: KV_BYTES,
      driver,
      compiler,
      cacheFolder,
      ...options,
    });
    return {
      runner,
      gpu,
      [Symbol.asyncDispose]: async () => {
        await runner.dispose();
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}
