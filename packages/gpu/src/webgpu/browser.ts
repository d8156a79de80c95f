/** What WebGPU programs share, without Node imports: for web pages, and for any program that brings a GPUDevice. */

export { isSoftwareAdapter } from './adapters.ts';
export { compileFailure, fromGpuError, outOfMemory, WebGpuDeviceLostError, WebGpuValidationError } from './errors.ts';
export { PipelineCache } from './pipeline-cache.ts';
export type { CachedPipeline, PipelineDescription } from './pipeline-cache.ts';
export { bindRange } from './ranges.ts';
export type { BoundRange, GpuRange } from './ranges.ts';
export { acquireCallersDevice, acquireSharedDevice, SharedDevice } from './shared-device.ts';
export type { DeviceRequest } from './shared-device.ts';
export { expandParts, expandTemplate } from './template.ts';
export type { TemplatePart, TemplateValues } from './template.ts';
export { CallUniforms, SharedUniforms } from './uniforms.ts';
export type { UniformSource } from './uniforms.ts';
