/** AMD's HIP runtime: libamdhip64 of ROCm 5 to 7. */

import { waveSizeOf } from './architectures.ts';
import { amdDeviceAdvice, withVariables } from './environment-notes.ts';
import { GpuLibraryNotFoundError, NoGpuError } from './errors.ts';
import type { GpuDeviceInfo } from './gpu-driver.ts';
import { rocmCandidates, type SearchedMachine, thisMachine } from './library-search.ts';
import { type NativePlatform, type NativeRuntime, type SharedCallNames, Status, shapesOf } from './native-calls.ts';
import { NativeMemory } from './native-memory.ts';
import { bindAll, loadSharedLibrary, useFirst } from './shared-library.ts';
import type { LibraryLoader, SharedLibrary, StatusFunction } from './shared-library.ts';

const ADVICE = 'install ROCm 5.2 or newer, or set ROCM_PATH to where it is';

const NAMES: SharedCallNames = {
  malloc: ['hipMalloc'],
  free: ['hipFree'],
  hostMalloc: ['hipHostMalloc'],
  hostFree: ['hipHostFree'],
  hostRegister: ['hipHostRegister'],
  hostUnregister: ['hipHostUnregister'],
  hostDevicePointer: ['hipHostGetDevicePointer'],
  memoryInfo: ['hipMemGetInfo'],
  copyToDevice: ['hipMemcpyHtoDAsync'],
  copyToHost: ['hipMemcpyDtoHAsync'],
  copyOnDevice: ['hipMemcpyDtoDAsync'],
  fillBytes: ['hipMemsetD8Async'],
  streamCreate: ['hipStreamCreateWithFlags'],
  streamQuery: ['hipStreamQuery'],
  streamWaitEvent: ['hipStreamWaitEvent'],
  streamDestroy: ['hipStreamDestroy'],
  eventCreate: ['hipEventCreateWithFlags'],
  eventRecord: ['hipEventRecord'],
  eventQuery: ['hipEventQuery'],
  eventSynchronize: ['hipEventSynchronize'],
  eventElapsed: ['hipEventElapsedTime'],
  eventDestroy: ['hipEventDestroy'],
  moduleLoad: ['hipModuleLoadData'],
  moduleUnload: ['hipModuleUnload'],
  moduleFunction: ['hipModuleGetFunction'],
  functionAttribute: ['hipFuncGetAttribute'],
  occupancy: ['hipModuleOccupancyMaxActiveBlocksPerMultiprocessor'],
  launch: ['hipModuleLaunchKernel'],
  captureBegin: ['hipStreamBeginCapture'],
  captureEnd: ['hipStreamEndCapture'],
  graphInstantiate: ['hipGraphInstantiateWithFlags'],
  graphLaunch: ['hipGraphLaunch'],
  graphDestroy: ['hipGraphDestroy'],
  graphExecDestroy: ['hipGraphExecDestroy'],
};

/** hipDeviceAttribute_t, whose numbers have not changed from ROCm 5 on. */
const ATTRIBUTE = {
  integrated: 16,
  l2CacheBytes: 19,
  multiprocessors: 63,
  sharedBytesPerBlock: 74,
  waveSize: 87,
} as const;

/** Flags of hipHostMalloc. Memory that a kernel writes for the host to poll must be coherent. */
const HOST_MAPPED = 0x2;
const HOST_COHERENT = 0x40000000;

/** More than any version's hipDeviceProp_t, whose layout changes between releases. */
const PROPERTIES_BYTES = 8192;

/**
 * Starts AMD's runtime and lists its GPUs. A runtime that does not start is passed over for the next one.
 *
 * @throws GpuLibraryNotFoundError naming every file that was tried, where none loaded; the error of the one that loaded
 * (DriverTooOldError, NoGpuError), or NoGpuError with the reasons of all, where none was of use
 */
export function startAmdPlatform(
  loader: LibraryLoader = loadSharedLibrary,
  machine: SearchedMachine = thisMachine(),
): NativePlatform {
  const start = (library: SharedLibrary): NativePlatform => startRuntime(library, machine.environment);
  return useFirst(loader, rocmCandidates('amdhip64', machine), start, ({ notLoaded, refusals }) => {
    const [first, second] = refusals;
    if (first === undefined) return new GpuLibraryNotFoundError('the AMD HIP runtime', notLoaded, ADVICE);
    if (second === undefined) return first;
    const reasons = refusals.map(({ message }) => message);
    return new NoGpuError('hip', `No AMD GPU with any of ${reasons.length} runtimes · ${reasons.join(' | ')}`, reasons);
  });
}

function startRuntime(library: SharedLibrary, environment: NodeJS.ProcessEnv): NativePlatform {
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
    const advice = withVariables(amdDeviceAdvice(), 'amd', environment);
    throw new NoGpuError('hip', `No AMD GPU · ${library.path} loaded, ${found} · ${advice}`, [found]);
  };
  const require = (operation: string, status: number): void => {
    if (status !== Status.success) refuse(operation, status);
  };

  require('hipInit', own.init(0));
  require('hipGetDeviceCount', own.deviceCount(out.address));
  const count = out.view.getInt32(0, true);
  if (count === 0) refuse('device 0 of 0', Status.invalidDevice);
  require('hipRuntimeGetVersion', own.version(out.address));
  const driverVersion = String(out.view.getInt32(0, true));
  const describe = (index: number): GpuDeviceInfo => {
    const properties = new NativeMemory(PROPERTIES_BYTES);
    require('hipGetDeviceProperties', own.properties(properties.address, index));
    const text = Buffer.from(properties.view.buffer).toString('latin1');
    const architecture = /gfx[0-9a-f]+/.exec(text)?.[0] ?? 'unknown';
    const name = text.slice(0, text.indexOf('\0')).trim();
    const attribute = (which: number): number =>
      own.attribute(out.address, which, index) === Status.success ? out.view.getInt32(0, true) : 0;
    require('hipDeviceTotalMem', own.totalMemory(out.address, index));
    const memoryBytes = Number(out.view.getBigUint64(0, true));
    return {
      platform: 'amd',
      index,
      name: name === '' ? architecture : name,
      architecture,
      waveSize: attribute(ATTRIBUTE.waveSize) || waveSizeOf(architecture),
      multiprocessors: attribute(ATTRIBUTE.multiprocessors),
      l2CacheBytes: attribute(ATTRIBUTE.l2CacheBytes),
      memoryBytes,
      sharedBytesPerBlock: attribute(ATTRIBUTE.sharedBytesPerBlock),
      isIntegrated: attribute(ATTRIBUTE.integrated) === 1,
      driverVersion,
      library: library.path,
    };
  };
  const devices = Array.from({ length: count }, (_, index) => describe(index));
  const graphUpload = library.find('hipGraphUpload', 'int', ['void *', 'void *']) as StatusFunction | null;
  return {
    devices,
    open: (index): NativeRuntime => {
      const info = devices[index] ?? refuse(`device ${index} of ${count}`, Status.invalidDevice);
      const activate = (): void => require('hipSetDevice', own.setDevice(index));
      activate();
      return {
        platform: 'amd',
        info,
        calls,
        names: NAMES,
        launchWithAttributes: null,
        graphUpload: graphUpload === null ? null : { name: 'hipGraphUpload', call: graphUpload },
        allowSharedBytes: null,
        mappedHostFlags: HOST_MAPPED | HOST_COHERENT,
        launchParameterEnd: 3n,
        statusName,
        activate,
        close() {},
      };
    },
  };
}
