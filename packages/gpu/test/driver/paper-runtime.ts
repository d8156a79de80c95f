/** A GPU runtime without a GPU, for tests of what is called and with what. */

import type { GpuDeviceInfo } from '../../src/driver/gpu-driver.ts';
import { SHARED_CALLS } from '../../src/driver/native-calls.ts';
import type { NativeRuntime, SharedCall, SharedCallNames } from '../../src/driver/native-calls.ts';

export const PAPER_GPU: GpuDeviceInfo = {
  platform: 'amd',
  index: 0,
  name: 'Paper GPU',
  architecture: 'gfx942',
  waveSize: 64,
  multiprocessors: 1,
  l2CacheBytes: 0,
  memoryBytes: 0,
  sharedBytesPerBlock: 65_536,
  isIntegrated: false,
  driverVersion: '1',
  library: 'paper',
};

type Arguments = readonly (number | bigint | string | null)[];

/** A runtime that records its calls and answers each with a chosen status. */
export function paperRuntime(statuses: Partial<Record<SharedCall, number | (() => number)>> = {}): {
  readonly runtime: NativeRuntime;
  readonly log: { readonly call: SharedCall | 'activate' | 'close'; readonly args: Arguments }[];
} {
  const log: { call: SharedCall | 'activate' | 'close'; args: Arguments }[] = [];
  const keys = Object.keys(SHARED_CALLS) as SharedCall[];
  const calls = Object.fromEntries(
    keys.map((call) => [
      call,
      (...args: Arguments) => {
        log.push({ call, args });
        const status = statuses[call] ?? 0;
        return typeof status === 'function' ? status() : status;
      },
    ]),
  ) as NativeRuntime['calls'];
  const names = Object.fromEntries(keys.map((call) => [call, [`paper_${call}`]])) as unknown as SharedCallNames;
  const runtime: NativeRuntime = {
    platform: 'amd',
    info: PAPER_GPU,
    calls,
    names,
    launchWithAttributes: null,
    graphUpload: null,
    allowSharedBytes: null,
    mappedHostFlags: 0x40000002,
    launchParameterEnd: 3n,
    statusName: (status) => `paperError${status}`,
    activate: () => void log.push({ call: 'activate', args: [] }),
    close: () => void log.push({ call: 'close', args: [] }),
  };
  return { runtime, log };
}
