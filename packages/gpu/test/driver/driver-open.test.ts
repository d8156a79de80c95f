import assert from 'node:assert/strict';
import { BackendUnavailableError } from '../../src/errors.ts';
import { hipRuntimeCandidates } from '../../src/driver/amd.ts';
import { listKnownArchitectures } from '../../src/kernels/comgr.ts';
import { openGpuDriver } from '../../src/driver/open-driver.ts';
import { nvrtcCandidates, openHiprtc, openNvrtc } from '../../src/kernels/runtime-compiler.ts';
import type { LibraryLoader, NativeFunction } from '../../src/driver/shared-library.ts';
import { DriverTooOldError, GpuLibraryNotFoundError, NoGpuError } from '../../src/driver/errors.ts';

/** A machine that has the named libraries only, whose functions answer with fixed statuses. */
function machineWith(
  libraries: Readonly<Record<string, Readonly<Record<string, NativeFunction>> | 'any function gives 0'>>,
): LibraryLoader {
  return (path) => {
    const functions = libraries[path];
    if (functions === undefined) throw new Error('no such file');
    const find = (symbol: string): NativeFunction | null =>
      functions === 'any function gives 0' ? () => 0 : (functions[symbol] ?? null);
    return { path, find };
  };
}

const NOTHING = machineWith({});

describe('opening a GPU', () => {
  it('names every library that was tried', () => {
    assert.throws(
      () => openGpuDriver({ platform: 'amd', loader: NOTHING }),
      (error) => {
        assert.ok(error instanceof GpuLibraryNotFoundError && error instanceof BackendUnavailableError);
        assert.equal(error.code, 'GPU_LIBRARY_NOT_FOUND');
        assert.equal(error.tried.length, hipRuntimeCandidates().length);
        for (const name of hipRuntimeCandidates()) assert.ok(error.message.includes(name));
        return true;
      },
    );
    assert.throws(() => openGpuDriver({ platform: 'nvidia', loader: NOTHING }), GpuLibraryNotFoundError);
  });

  it('gives both reasons where no platform is named', () => {
    assert.throws(
      () => openGpuDriver({ loader: NOTHING }),
      (error) => error instanceof NoGpuError && error.code === 'NO_GPU' && error.tried.length === 2,
    );
  });

  it('names the functions that an old library lacks', () => {
    const old = machineWith({ 'libamdhip64.so.5': { hipInit: () => 0 } });
    assert.throws(
      () => openGpuDriver({ platform: 'amd', loader: old }),
      (error) =>
        error instanceof DriverTooOldError &&
        error.library === 'libamdhip64.so.5' &&
        error.missing.includes('hipGraphInstantiateWithFlags'),
    );
  });

  it('takes a status of the first call as no GPU, with its code and name', () => {
    const names: Readonly<Record<string, NativeFunction>> = {
      hipInit: () => 101,
      hipGetErrorName: () => 'hipErrorInvalidDevice',
    };
    const everything = new Proxy(names, { get: (target, name) => target[String(name)] ?? (() => 0) });
    assert.throws(
      () => openGpuDriver({ platform: 'amd', loader: machineWith({ 'libamdhip64.so.7': everything }) }),
      (error) => error instanceof NoGpuError && /hipInit: hipErrorInvalidDevice \(101\)/.test(error.message),
    );
  });

  it('refuses an index past the devices', () => {
    // hipGetDeviceCount answers 0 and leaves the count at 0.
    const none = machineWith({ 'libamdhip64.so.6': 'any function gives 0' });
    assert.throws(
      () => openGpuDriver({ platform: 'amd', loader: none }),
      (error) => error instanceof NoGpuError && /device 0 of 0/.test(error.message),
    );
  });

  it('prefers the newest library', () => {
    const tried: string[] = [];
    const loader: LibraryLoader = (path) => {
      tried.push(path);
      throw new Error('no such file');
    };
    assert.throws(() => openGpuDriver({ platform: 'amd', loader }));
    assert.deepEqual(tried.slice(0, 4), ['libamdhip64.so.7', 'libamdhip64.so.6', 'libamdhip64.so.5', 'libamdhip64.so']);
  });
});

describe('opening a runtime compiler', () => {
  it('looks for hipRTC by its own name, then inside the HIP runtime', () => {
    const inside = machineWith({ 'libamdhip64.so.5': 'any function gives 0' });
    assert.match(openHiprtc(inside).version, /^hipRTC/);
    const own = machineWith({ 'libhiprtc.so.7': 'any function gives 0' });
    assert.match(openHiprtc(own).version, /^hipRTC/);
    assert.throws(() => openHiprtc(NOTHING), GpuLibraryNotFoundError);
  });

  it('looks for NVRTC where SWITCHYARD_NVRTC and CUDA_PATH say', () => {
    const candidates = nvrtcCandidates({ SWITCHYARD_NVRTC: '/own/libnvrtc.so', CUDA_PATH: '/cuda' });
    assert.equal(candidates[0], '/own/libnvrtc.so');
    assert.ok(candidates.includes('libnvrtc.so.13'));
    assert.ok(candidates.includes('/cuda/lib64/libnvrtc.so.12'));
    assert.throws(() => openNvrtc(NOTHING), GpuLibraryNotFoundError);
  });

  it('knows no architectures where there is no code-object manager', () => {
    assert.equal(listKnownArchitectures(NOTHING), null);
  });
});
