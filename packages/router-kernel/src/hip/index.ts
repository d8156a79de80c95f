/** The router on AMD GPUs (HIP), and on NVIDIA GPUs through the same kernel. */

export { CompileCache, defaultCacheFolder } from '@switchyard/gpu';
export type { DevicePlanBuffers, DeviceRouteBuffers, RouteShape } from './device-route.ts';
export type {
  DeviceBuffer,
  DeviceChoice,
  DevicePointer,
  GpuDeviceInfo,
  GpuDriver,
  GpuGraph,
  GpuPlatform,
  GpuStream,
  StreamLike,
} from '@switchyard/gpu';
export { openGpuDriver } from '@switchyard/gpu';
export type { OpenGpuDriverOptions } from '@switchyard/gpu';
export {
  DriverTooOldError,
  GpuLibraryNotFoundError,
  NoGpuError,
  UnknownArchitectureError,
  UnsupportedArchitectureError,
} from '@switchyard/gpu';
export type { CompileRequest, KernelCompiler } from '@switchyard/gpu';
export { createHipRouter, HipRouter } from './router.ts';
export type { HipRouterOptions } from './router-device.ts';
export { createHipGatedRouter, HipGatedRouter } from './gated-router.ts';
export type { DeviceGatedRouteBuffers, GatedRouteShape } from './device-gated-route.ts';
