/// <reference types="@webgpu/types" preserve="true" />
/**
 * The WebGPU router for web pages: no Node imports. Also for any program that brings a GPUDevice of its own.
 */

import type { Logger } from '@switchyard/gpu/logger';
import { acquireCallersDevice, acquireSharedDevice } from '@switchyard/gpu/webgpu';
import type { SharedDevice } from '@switchyard/gpu/webgpu';
import type { RouterConfig } from '../contract.ts';
import type { GatedRouterConfig } from '../gate/gate-contract.ts';
import { resolveGatedRouterConfig, routerConfigOf } from '../gate/resolve-gate.ts';
import { BackendUnavailableError, InvalidConfigError } from '../errors.ts';
import { knownOptions, refuseUnknownOptions } from '../known-options.ts';
import type { ExchangePath } from './kernel/launch-geometry.ts';
import { WebGpuGatedRouter } from './webgpu-gated-router.ts';
import { WebGpuRouter } from './webgpu-router.ts';

export * from '../contract.ts';
export { checkRouteArguments, resolveRouterConfig } from '../resolve-config.ts';
export * from '../errors.ts';
export { decodeLogits, encodeLogits } from '../number-formats.ts';
export { WebGpuDeviceLostError, WebGpuValidationError } from '@switchyard/gpu/webgpu';
export type { GpuRange } from '@switchyard/gpu/webgpu';
export type { PlanGpuBuffers, RouterGpuBuffers } from './gpu-ranges.ts';
export type { ExchangePath } from './kernel/launch-geometry.ts';
export type { EncodeOptions } from './webgpu-router.ts';
export { WebGpuRouter } from './webgpu-router.ts';
export { WebGpuGatedRouter } from './webgpu-gated-router.ts';
export type { GatedRouterGpuBuffers } from './webgpu-gated-router.ts';
export * from '../gate/gate-contract.ts';
export { checkGatedRouteArguments, resolveGatedRouterConfig } from '../gate/resolve-gate.ts';

/** Where a WebGPU router runs. Other names are refused with InvalidConfigError. */
export interface WebGpuRouterOptions {
  /** Hears which path was chosen (`debug`) and of a lost device (`warn`). Defaults to silence. */
  readonly logger?: Logger;
  /** A device of the caller, who also destroys it. Defaults to one that all routers share. */
  readonly device?: GPUDevice;
  /** How a token's lanes exchange keys. Defaults to `'auto'`: by subgroup operations where the device has them. */
  readonly path?: ExchangePath | 'auto';
  /** Ask for a software adapter. Defaults to `false`. */
  readonly software?: boolean;
  /** Refuse an adapter that computes on the CPU, as `createRouter` does unless WebGPU is named. Defaults to `false`. */
  readonly hardwareOnly?: boolean;
}

const ROUTER_OPTIONS = knownOptions<WebGpuRouterOptions>('WebGPU router option', InvalidConfigError, {
  logger: true,
  device: true,
  path: true,
  software: true,
  hardwareOnly: true,
});

/** Refuses names that are none of WebGpuRouterOptions. */
export function checkRouterOptions(options: WebGpuRouterOptions): void {
  refuseUnknownOptions(ROUTER_OPTIONS, options);
}

/**
 * Makes a WebGPU router on `navigator.gpu`, or on a device of the caller.
 *
 * @throws InvalidConfigError; BackendUnavailableError without WebGPU or an adapter; KernelCompileError
 */
export async function createWebGpuRouter(
  config: RouterConfig,
  options: WebGpuRouterOptions = {},
): Promise<WebGpuRouter> {
  checkRouterOptions(options);
  if (options.device !== undefined) return createRouterOnDevice(config, options.device, options);
  const gpu: GPU | undefined = Reflect.get(globalThis, 'navigator')?.gpu;
  if (gpu === undefined) {
    throw new BackendUnavailableError(
      'webgpu',
      'This browser has no WebGPU · found no navigator.gpu · use a current browser, over https or localhost',
      ['navigator.gpu: missing'],
    );
  }
  return createRouterOnGpu(config, gpu, options);
}

/**
 * Makes a WebGPU gated router on `navigator.gpu`, or on a device of the caller.
 *
 * @throws as `createWebGpuRouter`
 */
export async function createWebGpuGatedRouter(
  config: GatedRouterConfig,
  options: WebGpuRouterOptions = {},
): Promise<WebGpuGatedRouter> {
  const resolved = resolveGatedRouterConfig(config);
  return WebGpuGatedRouter.create(resolved, await createWebGpuRouter(routerConfigOf(config), options));
}

/** Makes a router on the device that routers of a GPU object share. */
export async function createRouterOnGpu(
  config: RouterConfig,
  gpu: GPU,
  options: WebGpuRouterOptions,
): Promise<WebGpuRouter> {
  const { logger, software = false, hardwareOnly = false } = options;
  const device = await acquireSharedDevice(gpu, { software, hardwareOnly, ...(logger && { logger }) });
  return createOn(config, device, options);
}

async function createRouterOnDevice(
  config: RouterConfig,
  gpuDevice: GPUDevice,
  options: WebGpuRouterOptions,
): Promise<WebGpuRouter> {
  return createOn(config, acquireCallersDevice(gpuDevice, options.logger), options);
}

async function createOn(
  config: RouterConfig,
  device: SharedDevice,
  { path, logger }: WebGpuRouterOptions,
): Promise<WebGpuRouter> {
  try {
    const router = await WebGpuRouter.create(config, device, path);
    logger?.debug?.(`WebGPU router on ${router.device}, path ${router.path}.`);
    return router;
  } catch (error) {
    device.release();
    throw error;
  }
}
