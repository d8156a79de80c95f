import assert from 'node:assert/strict';
import { BackendUnavailableError, KernelCompileError } from '../../src/errors.ts';
import { addressOf, viewOf } from '../../src/driver/native-memory.ts';
import { rocmCandidates } from '../../src/driver/library-search.ts';
import { listKnownArchitectures } from '../../src/kernels/comgr.ts';
import { openGpuDriver } from '../../src/driver/open-driver.ts';
import { nvrtcCandidates, openHiprtc, openNvrtc } from '../../src/kernels/runtime-compiler.ts';
import type { LibraryLoader, NativeFunction } from '../../src/driver/shared-library.ts';
import { loaderOf, machineOf, paperHip } from './paper-machine.ts';
import {
  DriverTooOldError,
  GpuLibraryNotFoundError,
  NoGpuError,
  UnknownArchitectureError,
} from '../../src/driver/errors.ts';

const NOTHING = loaderOf({});

describe('opening a GPU', () => {
  it('names every library that was tried', () => {
    assert.throws(
      () => openGpuDriver({ platform: 'amd', loader: NOTHING }),
      (error) => {
        assert.ok(error instanceof GpuLibraryNotFoundError && error instanceof BackendUnavailableError);
        assert.equal(error.code, 'GPU_LIBRARY_NOT_FOUND');
        assert.equal(error.tried.length, rocmCandidates('amdhip64').length);
        for (const name of rocmCandidates('amdhip64')) assert.ok(error.message.includes(name));
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
    const old = loaderOf({ 'libamdhip64.so.5': { hipInit: () => 0 } });
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
      () => openGpuDriver({ platform: 'amd', loader: loaderOf({ 'libamdhip64.so.7': everything }) }),
      (error) => error instanceof NoGpuError && /hipInit: hipErrorInvalidDevice \(101\)/.test(error.message),
    );
  });

  it('refuses an index past the devices', () => {
    // hipGetDeviceCount answers 0 and leaves the count at 0.
    const none = loaderOf({ 'libamdhip64.so.6': 'any function gives 0' });
    assert.throws(
      () => openGpuDriver({ platform: 'amd', loader: none }),
      (error) => error instanceof NoGpuError && /device 0 of 0/.test(error.message),
    );
  });

  it('goes on to the next runtime where one is found and does not start', () => {
    const opened: number[] = [];
    const dead = { ...paperHip([]), hipInit: () => 101, hipGetErrorName: () => 'hipErrorInvalidDevice' };
    const everything = new Proxy(dead, { get: (target, name) => Reflect.get(target, name) ?? (() => 0) });
    const machine = machineOf(['/opt/rocm/lib/libamdhip64.so.7', '/opt/rocm-6.4.0/lib/libamdhip64.so.6']);
    const loader = loaderOf({
      '/opt/rocm/lib/libamdhip64.so.7': { hipInit: () => 0 },
      '/opt/rocm-6.4.0/lib/libamdhip64.so.6': everything,
      'libamdhip64.so.5': paperHip([{ name: 'AMD Instinct MI100', architecture: 'gfx908' }], opened),
    });
    using driver = openGpuDriver({ loader, machine });
    assert.deepEqual([driver.info.library, driver.info.name], ['libamdhip64.so.5', 'AMD Instinct MI100']);
    assert.deepEqual(new Set(opened), new Set([0]));
  });

  it('gives the reason of every runtime that was found, where none starts', () => {
    const machine = machineOf(['/opt/rocm/lib/libamdhip64.so.7']);
    const loader = loaderOf({ '/opt/rocm/lib/libamdhip64.so.7': {}, 'libamdhip64.so.5': paperHip([]) });
    assert.throws(
      () => openGpuDriver({ platform: 'amd', loader, machine }),
      (error) =>
        error instanceof NoGpuError &&
        error.tried.length === 2 &&
        /\/opt\/rocm\/lib\/libamdhip64\.so\.7 is too old/.test(error.message) &&
        /libamdhip64\.so\.5 loaded, device 0 of 0/.test(error.message),
    );
  });

  it('prefers the newest library', () => {
    const tried: string[] = [];
    const loader: LibraryLoader = (path) => {
      tried.push(path);
      throw new Error('no such file');
    };
    assert.throws(() => openGpuDriver({ platform: 'amd', loader, machine: machineOf() }));
    assert.deepEqual(tried, ['libamdhip64.so.7', 'libamdhip64.so.6', 'libamdhip64.so.5', 'libamdhip64.so']);
  });
});

describe('opening a runtime compiler', () => {
  it('looks for hipRTC by its own name, then inside the HIP runtime', () => {
    const inside = loaderOf({ 'libamdhip64.so.5': 'any function gives 0' });
    assert.match(openHiprtc(inside).version, /^hipRTC/);
    const own = loaderOf({ 'libhiprtc.so.7': 'any function gives 0' });
    assert.match(openHiprtc(own).version, /^hipRTC/);
    assert.throws(() => openHiprtc(NOTHING), GpuLibraryNotFoundError);
  });

  it('takes hipRTC from the installation of the runtime that is in use', () => {
    const files = ['/opt/rocm/lib/libhiprtc.so.7', '/opt/rocm-6.4.0/lib/libhiprtc.so.6'];
    const asked: string[] = [];
    const load = loaderOf(Object.fromEntries(files.map((file) => [file, 'any function gives 0' as const])));
    const loader: LibraryLoader = (path) => {
      asked.push(path);
      return load(path);
    };
    openHiprtc(loader, { machine: machineOf(files), beside: '/opt/rocm-6.4.0/lib/libamdhip64.so.6' });
    assert.deepEqual(asked, ['/opt/rocm-6.4.0/lib/libhiprtc.so.6']);
  });

  it('passes over a hipRTC that lacks functions, and names what was tried where there is no other', () => {
    const working = loaderOf({ 'libhiprtc.so.7': {}, 'libamdhip64.so.5': 'any function gives 0' });
    assert.match(openHiprtc(working, { machine: machineOf() }).version, /^hipRTC/);
    assert.throws(
      () => openHiprtc(loaderOf({ 'libhiprtc.so.7': {} }), { machine: machineOf() }),
      (error) =>
        error instanceof GpuLibraryNotFoundError &&
        error.library === 'hipRTC' &&
        /libhiprtc\.so\.7 is too old · it lacks hiprtcVersion/.test(error.message) &&
        /libamdhip64\.so\.6 \(no such file\)/.test(error.message),
    );
  });

  it('looks for NVRTC where SWITCHYARD_NVRTC and CUDA_PATH say', () => {
    const candidates = nvrtcCandidates({ SWITCHYARD_NVRTC: '/own/libnvrtc.so', CUDA_PATH: '/cuda' });
    assert.equal(candidates[0], '/own/libnvrtc.so');
    assert.ok(candidates.includes('libnvrtc.so.13'));
    assert.ok(candidates.includes('/cuda/lib64/libnvrtc.so.12'));
    assert.throws(() => openNvrtc(NOTHING), GpuLibraryNotFoundError);
  });

  it('tells architectures apart from their features', () => {
    const isa = new TextEncoder().encode('amdgcn-amd-amdhsa--gfx90a\0');
    const write = (out: unknown, value: bigint): number => {
      new DataView(viewOf(out as bigint, 8)).setBigUint64(0, value, true);
      return 0;
    };
    const loader = loaderOf({
      'libhiprtc.so.7': 'any function gives 0',
      'libamd_comgr.so.3': {
        amd_comgr_get_isa_count: (out) => write(out, 1n),
        amd_comgr_get_isa_name: (_, out) => write(out, addressOf(isa)),
      },
    });
    const compiler = openHiprtc(loader, { machine: machineOf() });
    const compile = (architecture: string) =>
      compiler.compile({ source: '', name: 'k.hip', architecture, defines: {} });
    assert.throws(() => compile('gfx942:xnack-'), UnknownArchitectureError);
    // It is asked to compile, and gives no code: the stand-in computes nothing.
    assert.throws(() => compile('gfx90a:sramecc+:xnack-'), KernelCompileError);
  });

  it('knows no architectures where there is no code-object manager', () => {
    assert.equal(listKnownArchitectures(NOTHING), null);
  });
});
