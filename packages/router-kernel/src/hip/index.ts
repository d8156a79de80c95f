/** The router on AMD GPUs (HIP), and on NVIDIA GPUs through the same kernel. */

export { CompileCache, defaultCacheFolder } from './compile-cache.ts';
export type { DevicePlanBuffers, DeviceRouteBuffers, RouteShape } from './device-route.ts';
export type {
  DeviceBuffer,
  DevicePointer,
  GpuDeviceInfo,
  GpuDriver,
  GpuGraph,
  GpuPlatform,
  GpuStream,
  StreamLike,
} from './driver/gpu-driver.ts';
export { openGpuDriver } from './driver/open-driver.ts';
export type { OpenGpuDriverOptions } from './driver/open-driver.ts';
export { DriverTooOldError, GpuLibraryNotFoundError, NoGpuError, UnknownArchitectureError } from './errors.ts';
export type { CompileRequest, KernelCompiler } from './kernel-compiler.ts';
export { createHipRouter, HipRouter } from './router.ts';
export type { HipRouterOptions } from './router.ts';
