/** What a benchmark's figures depend on beside the code. */

import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { usableProcessors } from '../processors.ts';
import type { BenchmarkMachine, MeasuredGpu } from './report.ts';

/** This machine, as this process may use it. */
export function describeMachine(gpu: MeasuredGpu | null = null): BenchmarkMachine {
  return {
    processor: cpus()[0]?.model.trim() || 'unknown',
    cores: usableProcessors().threads,
    memoryBytes: usableMemory(),
    system: `${platform()} ${release()} ${arch()}`,
    loadBefore: platform() === 'win32' ? null : (loadavg()[0] ?? null),
    gpu,
  };
}

/** A container's limit is not known everywhere, and is larger than the memory where there is none. */
function usableMemory(): number {
  const limit = process.constrainedMemory();
  return limit === undefined || limit === 0 ? totalmem() : Math.min(limit, totalmem());
}
