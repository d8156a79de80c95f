export * from './errors.ts';
export type { Logger } from './logger.ts';

export {
  DriverTooOldError,
  GpuLibraryNotFoundError,
  NoGpuError,
  UnknownArchitectureError,
  UnsupportedArchitectureError,
} from './driver/errors.ts';
export type * from './driver/gpu-driver.ts';
export { waveSizeOf } from './driver/architectures.ts';
export { describeDevice, deviceId } from './driver/choose-device.ts';
export type { DeviceChoice } from './driver/choose-device.ts';
export { addressOf } from './driver/native-memory.ts';
export { listGpuDevices, openGpuDriver } from './driver/open-driver.ts';
export type { GpuDeviceList, ListGpuDevicesOptions, OpenGpuDriverOptions } from './driver/open-driver.ts';
export type { LibraryLoader } from './driver/shared-library.ts';
export { downloadBytes, uploadBytes } from './driver/transfers.ts';

export { placeKernelArguments } from './kernels/argument-list.ts';
export type { KernelArgument, KernelArgumentType, PlacedKernelArgument } from './kernels/argument-list.ts';
export { argumentWriter } from './kernels/argument-writer.ts';
export type { ArgumentWriter } from './kernels/argument-writer.ts';
export type { CompileRequest, KernelCompiler } from './kernels/kernel-compiler.ts';
export { compilerName, parseKernelTarget } from './kernels/kernel-target.ts';
export type { KernelTarget } from './kernels/kernel-target.ts';
export { openHiprtc, openNvrtc } from './kernels/runtime-compiler.ts';
export { CompileCache, defaultCacheFolder } from './kernels/compile-cache.ts';
export type { CompileCacheOptions } from './kernels/compile-cache.ts';
export { KernelLibrary, targetOf } from './kernels/kernel-library.ts';
export type { KernelLibraryOptions, KernelUnit, PrebuiltLookup } from './kernels/kernel-library.ts';
export { listKernels } from './kernels/list-kernels.ts';
export type { KernelLoader, LaunchPreparer, ListedKernel } from './kernels/list-kernels.ts';
export { KernelLaunch, loadLaunch } from './kernels/launcher.ts';
export type { KernelLaunchDescription } from './kernels/launcher.ts';
export { compressArchive, decompressArchive, packObjects, unpackObjects } from './kernels/object-archive.ts';
export type { ArchivedObject } from './kernels/object-archive.ts';
export { archiveName, kernelKey, prebuiltLookup } from './kernels/prebuilt-objects.ts';
export type { ObjectLookup } from './kernels/prebuilt-objects.ts';
export { joinParts, MATRIX_TILE_PARTS, SHARED_PARTS, sharedPart } from './kernels/kernel-parts.ts';
export type { SharedPart } from './kernels/kernel-parts.ts';
