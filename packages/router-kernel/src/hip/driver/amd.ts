/** AMD's HIP runtime: libamdhip64 of ROCm 5 to 7. */

import { environmentVariables } from '../../environment.ts';
import { NoGpuError } from '../errors.ts';
import type { GpuDeviceInfo } from './gpu-driver.ts';
import { type NativeRuntime, type SharedCallNames, Status, shapesOf } from './native-calls.ts';
import { NativeMemory } from './native-memory.ts';
import { bindAll, type LibraryLoader, loadFirst, loadSharedLibrary, type SharedLibrary } from './shared-library.ts';

const ADVICE = 'install ROCm 5.2 or newer, or set ROCM_PATH to where it is';

/** Names of the HIP runtime, newest first, then the places that ROCm installs to. */
export function hipRuntimeCandidates(environment: NodeJS.ProcessEnv = environmentVariables()): readonly string[] {
  const names = ['libamdhip64.so.7', 'libamdhip64.so.6', 'libamdhip64.so.5', 'libamdhip64.so'];
  return [...names, ...rocmFolders(environment).map((folder) => `${folder}/libamdhip64.so`)];
}

/** The library folders of a ROCm installation outside the dynamic linker's path. */
export function rocmFolders(environment: NodeJS.ProcessEnv): readonly string[] {
  const roots = [environment['ROCM_PATH'], environment['HIP_PATH'], '/opt/rocm'];
  return roots.filter((root): root is string => root !== undefined && root !== '').map((root) => `${root}/lib`);
}

/**
 * Loads the HIP runtime.
 *
 * @throws GpuLibraryNotFoundError naming every file that was tried
 */
export function loadHipRuntime(loader: LibraryLoader = loadSharedLibrary): SharedLibrary {
  return loadFirst(loader, 'the AMD HIP runtime', hipRuntimeCandidates(), ADVICE);
}

const NAMES: SharedCallNames = {
  malloc: ['hipMalloc'],
  free: ['hipFree'],
  hostMalloc: ['hipHostMalloc'],
  hostFree: ['hipHostFree'],
  memoryInfo: ['hipMemGetInfo'],
  copyToDevice: ['hipMemcpyHtoDAsync'],
  copyToHost: ['hipMemcpyDtoHAsync'],
  copyOnDevice: ['hipMemcpyDtoDAsync'],
  fillBytes: ['hipMemsetD8Async'],
  streamCreate: ['hipStreamCreateWithFlags'],
  streamQuery: ['hipStreamQuery'],
  streamDestroy: ['hipStreamDestroy'],
  eventCreate: ['hipEventCreateWithFlags'],
  eventRecord: ['hipEventRecord'],
  eventSynchronize: ['hipEventSynchronize'],
  eventElapsed: ['hipEventElapsedTime'],
  eventDestroy: ['hipEventDestroy'],
  moduleLoad: ['hipModuleLoadData'],
  moduleUnload: ['hipModuleUnload'],
  moduleFunction: ['hipModuleGetFunction'],
  functionAttribute: ['hipFuncGetAttribute'],
  launch: ['hipModuleLaunchKernel'],
  captureBegin: ['hipStreamBeginCapture'],
  captureEnd: ['hipStreamEndCapture'],
  graphInstantiate: ['hipGraphInstantiateWithFlags'],
  graphLaunch: ['hipGraphLaunch'],
  graphDestroy: ['hipGraphDestroy'],
  graphExecDestroy: ['hipGraphExecDestroy'],
};

/** hipDeviceAttribute_t, whose numbers have not changed from ROCm 5 on. */
const ATTRIBUTE = { l2CacheBytes: 19, multiprocessors: 63, waveSize: 87 } as const;

/** More than any version's hipDeviceProp_t, whose layout changes between releases. */
const PROPERTIES_BYTES = 8192;

/**
 * Opens one AMD GPU.
 *
 * @param index The device, in HIP's order.
 * @throws GpuLibraryNotFoundError, DriverTooOldError, NoGpuError
 */
export function openAmdRuntime(index: number, loader: LibraryLoader = loadSharedLibrary): NativeRuntime {
  const library = loadHipRuntime(loader);
  const calls = bindAll(library, shapesOf(NAMES), ADVICE);
  const own = bindAll(
    library,
    {
      init: { names: ['hipInit'], parameters: ['uint'] },
      deviceCount: { names: ['hipGetDeviceCount'], parameters: ['void *'] },
      setDevice: { names: ['hipSetDevice'], parameters: ['int'] },
      properties: { names: ['hipGetDevicePropertiesR0600', 'hipGetDeviceProperties'], parameters: ['void *', 'int'] },
      attribute: { names: ['hipDeviceGetAttribute'], parameters: ['void *', 'int', 'int'] },
      totalMemory: { names: ['hipDeviceTotalMem'], parameters: ['void *', 'int'] },
      version: { names: ['hipRuntimeGetVersion'], parameters: ['void *'] },
    },
    ADVICE,
  );
  const errorName = library.find('hipGetErrorName', 'const char *', ['int']);
  const statusName = (status: number): string => (errorName === null ? 'unnamed' : String(errorName(status)));
  const out = new NativeMemory(8);
  const refuse = (operation: string, status: number): never => {
    const found = `${operation}: ${statusName(status)} (${status})`;
    const advice = 'check that the amdgpu driver is loaded and /dev/kfd may be opened';
    throw new NoGpuError('hip', `No AMD GPU · ${library.path} loaded, ${found} · ${advice}`, [found]);
  };
  const require = (operation: string, status: number): void => {
    if (status !== Status.success) refuse(operation, status);
  };

  require('hipInit', own.init(0));
  require('hipGetDeviceCount', own.deviceCount(out.address));
  const count = out.view.getInt32(0, true);
  if (index >= count) refuse(`device ${index} of ${count}`, Status.invalidDevice);
  const activate = (): void => require('hipSetDevice', own.setDevice(index));
  activate();

  const properties = new NativeMemory(PROPERTIES_BYTES);
  require('hipGetDeviceProperties', own.properties(properties.address, index));
  const text = Buffer.from(properties.view.buffer).toString('latin1');
  const architecture = /gfx[0-9a-f]+/.exec(text)?.[0] ?? 'unknown';
  const name = text.slice(0, text.indexOf('\0')).trim();
  const attribute = (which: number): number =>
    own.attribute(out.address, which, index) === Status.success ? out.view.getInt32(0, true) : 0;
  require('hipDeviceTotalMem', own.totalMemory(out.address, index));
  const memoryBytes = Number(out.view.getBigUint64(0, true));
  require('hipRuntimeGetVersion', own.version(out.address));
  const info: GpuDeviceInfo = {
    index,
    name: name === '' ? architecture : name,
    architecture,
    waveSize: attribute(ATTRIBUTE.waveSize) || waveSizeOf(architecture),
    multiprocessors: attribute(ATTRIBUTE.multiprocessors),
    l2CacheBytes: attribute(ATTRIBUTE.l2CacheBytes),
    memoryBytes,
    driverVersion: String(out.view.getInt32(0, true)),
    library: library.path,
  };
  return {
    platform: 'amd',
    info,
    calls,
    names: NAMES,
    launchWithAttributes: null,
    launchParameterEnd: 3n,
    statusName,
    activate,
    close() {},
  };
}

/** Lanes of a wave by architecture: gfx9 (GCN, CDNA) runs 64, gfx10 and later (RDNA) 32. */
export function waveSizeOf(architecture: string): number {
  return /^gfx9[0-9a-f]{2}$/.test(architecture) ? 64 : 32;
}
