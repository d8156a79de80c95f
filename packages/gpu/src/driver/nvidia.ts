/** NVIDIA's CUDA driver: libcuda.so.1, CUDA 12 or newer. */

import { withVariables } from './environment-notes.ts';
import { NoGpuError } from './errors.ts';
import type { GpuDeviceInfo } from './gpu-driver.ts';
import { type NativePlatform, type NativeRuntime, type SharedCallNames, Status, shapesOf } from './native-calls.ts';
import { NativeMemory, textAt } from './native-memory.ts';
import { bindAll, type LibraryLoader, loadFirst, loadSharedLibrary } from './shared-library.ts';

const ADVICE = 'install the NVIDIA driver, release 525 or newer';

const NAMES: SharedCallNames = {
  malloc: ['cuMemAlloc_v2'],
  free: ['cuMemFree_v2'],
  hostMalloc: ['cuMemHostAlloc'],
  hostFree: ['cuMemFreeHost'],
  hostRegister: ['cuMemHostRegister_v2'],
  hostUnregister: ['cuMemHostUnregister'],
  hostDevicePointer: ['cuMemHostGetDevicePointer_v2'],
  memoryInfo: ['cuMemGetInfo_v2'],
  copyToDevice: ['cuMemcpyHtoDAsync_v2'],
  copyToHost: ['cuMemcpyDtoHAsync_v2'],
  copyOnDevice: ['cuMemcpyDtoDAsync_v2'],
  fillBytes: ['cuMemsetD8Async'],
  streamCreate: ['cuStreamCreate'],
  streamQuery: ['cuStreamQuery'],
  streamWaitEvent: ['cuStreamWaitEvent'],
  streamDestroy: ['cuStreamDestroy_v2'],
  eventCreate: ['cuEventCreate'],
  eventRecord: ['cuEventRecord'],
  eventQuery: ['cuEventQuery'],
  eventSynchronize: ['cuEventSynchronize'],
  eventElapsed: ['cuEventElapsedTime', 'cuEventElapsedTime_v2'],
  eventDestroy: ['cuEventDestroy_v2'],
  moduleLoad: ['cuModuleLoadData'],
  moduleUnload: ['cuModuleUnload'],
  moduleFunction: ['cuModuleGetFunction'],
  functionAttribute: ['cuFuncGetAttribute'],
  occupancy: ['cuOccupancyMaxActiveBlocksPerMultiprocessor'],
  launch: ['cuLaunchKernel'],
  captureBegin: ['cuStreamBeginCapture_v2'],
  captureEnd: ['cuStreamEndCapture'],
  graphInstantiate: ['cuGraphInstantiateWithFlags'],
  graphLaunch: ['cuGraphLaunch'],
  graphDestroy: ['cuGraphDestroy'],
  graphExecDestroy: ['cuGraphExecDestroy'],
};

/** CUdevice_attribute. */
const ATTRIBUTE = {
  waveSize: 10,
  multiprocessors: 16,
  integrated: 18,
  l2CacheBytes: 38,
  major: 75,
  minor: 76,
  sharedBytesPerBlock: 97,
} as const;

/** CUDA 12.3, the first whose graphs keep launches that overlap. */
const FIRST_OVERLAP_VERSION = 12030;

const OVERLAP_CALLS = {
  launchWithAttributes: { names: ['cuLaunchKernelEx'], parameters: ['void *', 'void *', 'void *', 'void *'] },
} as const;

/** CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES. */
const MAX_DYNAMIC_SHARED_BYTES = 8;
/** CU_MEMHOSTALLOC_DEVICEMAP. */
const HOST_MAPPED = 0x2;
const NAME_BYTES = 256;

/**
 * Starts NVIDIA's driver and lists its GPUs.
 *
 * @throws GpuLibraryNotFoundError, DriverTooOldError, NoGpuError
 */
export function startNvidiaPlatform(
  loader: LibraryLoader = loadSharedLibrary,
  environment: NodeJS.ProcessEnv = process.env,
): NativePlatform {
  const library = loadFirst(loader, 'the NVIDIA driver', ['libcuda.so.1', 'libcuda.so'], ADVICE);
  const calls = bindAll(library, shapesOf(NAMES), ADVICE);
  const own = bindAll(
    library,
    {
      init: { names: ['cuInit'], parameters: ['uint'] },
      deviceCount: { names: ['cuDeviceGetCount'], parameters: ['void *'] },
      device: { names: ['cuDeviceGet'], parameters: ['void *', 'int'] },
      deviceName: { names: ['cuDeviceGetName'], parameters: ['void *', 'int', 'int'] },
      attribute: { names: ['cuDeviceGetAttribute'], parameters: ['void *', 'int', 'int'] },
      totalMemory: { names: ['cuDeviceTotalMem_v2'], parameters: ['void *', 'int'] },
      version: { names: ['cuDriverGetVersion'], parameters: ['void *'] },
      retainContext: { names: ['cuDevicePrimaryCtxRetain'], parameters: ['void *', 'int'] },
      releaseContext: { names: ['cuDevicePrimaryCtxRelease_v2'], parameters: ['int'] },
      setContext: { names: ['cuCtxSetCurrent'], parameters: ['void *'] },
      graphUpload: { names: ['cuGraphUpload'], parameters: ['void *', 'void *'] },
      setFunctionAttribute: { names: ['cuFuncSetAttribute'], parameters: ['void *', 'int', 'int'] },
      errorName: { names: ['cuGetErrorName'], parameters: ['int', 'void *'] },
    },
    ADVICE,
  );
  const out = new NativeMemory(NAME_BYTES);
  const nameOut = new NativeMemory(8);
  const statusName = (status: number): string =>
    own.errorName(status, nameOut.address) === Status.success ? textAt(nameOut.view.getBigUint64(0, true)) : 'unnamed';
  const refuse = (operation: string, status: number): never => {
    const found = `${operation}: ${statusName(status)} (${status})`;
    const advice = withVariables('check that nvidia-smi lists it', 'nvidia', environment);
    throw new NoGpuError('hip', `No NVIDIA GPU · ${library.path} loaded, ${found} · ${advice}`, [found]);
  };
  const require = (operation: string, status: number): void => {
    if (status !== Status.success) refuse(operation, status);
  };

  require('cuInit', own.init(0));
  require('cuDeviceGetCount', own.deviceCount(out.address));
  const count = out.view.getInt32(0, true);
  if (count === 0) refuse('device 0 of 0', Status.invalidDevice);
  require('cuDriverGetVersion', own.version(out.address));
  const version = out.view.getInt32(0, true);
  const handleOf = (index: number): number => {
    require('cuDeviceGet', own.device(out.address, index));
    return out.view.getInt32(0, true);
  };
  const attribute = (device: number, which: number): number => {
    require('cuDeviceGetAttribute', own.attribute(out.address, which, device));
    return out.view.getInt32(0, true);
  };
  const describe = (index: number): GpuDeviceInfo => {
    const device = handleOf(index);
    require('cuDeviceGetName', own.deviceName(out.address, NAME_BYTES, device));
    const name = textAt(out.address);
    require('cuDeviceTotalMem', own.totalMemory(out.address, device));
    const memoryBytes = Number(out.view.getBigUint64(0, true));
    return {
      platform: 'nvidia',
      index,
      name,
      architecture: `sm_${attribute(device, ATTRIBUTE.major)}${attribute(device, ATTRIBUTE.minor)}`,
      waveSize: attribute(device, ATTRIBUTE.waveSize),
      multiprocessors: attribute(device, ATTRIBUTE.multiprocessors),
      l2CacheBytes: attribute(device, ATTRIBUTE.l2CacheBytes),
      memoryBytes,
      sharedBytesPerBlock: attribute(device, ATTRIBUTE.sharedBytesPerBlock),
      isIntegrated: attribute(device, ATTRIBUTE.integrated) === 1,
      driverVersion: `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`,
      library: library.path,
    };
  };
  const devices = Array.from({ length: count }, (_, index) => describe(index));
  return {
    devices,
    open: (index): NativeRuntime => {
      const info = devices[index] ?? refuse(`device ${index} of ${count}`, Status.invalidDevice);
      const device = handleOf(index);
      const canOverlap = version >= FIRST_OVERLAP_VERSION && attribute(device, ATTRIBUTE.major) >= 9;
      const launchWithAttributes = canOverlap ? bindAll(library, OVERLAP_CALLS, ADVICE).launchWithAttributes : null;
      require('cuDevicePrimaryCtxRetain', own.retainContext(out.address, device));
      const context = out.view.getBigUint64(0, true);
      const activate = (): void => require('cuCtxSetCurrent', own.setContext(context));
      activate();
      return {
        platform: 'nvidia',
        info,
        calls,
        names: NAMES,
        launchWithAttributes,
        graphUpload: { name: 'cuGraphUpload', call: own.graphUpload },
        allowSharedBytes: {
          name: 'cuFuncSetAttribute',
          call: (kernel, bytes) => own.setFunctionAttribute(kernel, MAX_DYNAMIC_SHARED_BYTES, bytes),
        },
        mappedHostFlags: HOST_MAPPED,
        launchParameterEnd: 0n,
        statusName,
        activate,
        close() {
          own.releaseContext(device);
        },
      };
    },
  };
}
