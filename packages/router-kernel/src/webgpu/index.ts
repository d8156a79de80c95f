/// <reference types="@webgpu/types" preserve="true" />
/** The WebGPU router in Node, through the optional package `webgpu` (Dawn). */

import { openDawn } from '@switchyard/gpu/webgpu';
import type { RouterConfig } from '../contract.ts';
import type { GatedRouterConfig } from '../gate/gate-contract.ts';
import { resolveGatedRouterConfig, routerConfigOf } from '../gate/resolve-gate.ts';
import { checkRouterOptions, createRouterOnGpu, createWebGpuRouter as createInBrowser } from './browser.ts';
import type { WebGpuRouterOptions } from './browser.ts';
import { WebGpuGatedRouter } from './webgpu-gated-router.ts';
import type { WebGpuRouter } from './webgpu-router.ts';

export { WebGpuDeviceLostError, WebGpuValidationError } from '@switchyard/gpu/webgpu';
export type { WebGpuRouterOptions } from './browser.ts';
export type { GpuRange } from '@switchyard/gpu/webgpu';
export type { PlanGpuBuffers, RouterGpuBuffers } from './gpu-ranges.ts';
export type { ExchangePath } from './kernel/launch-geometry.ts';
export type { EncodeOptions } from './webgpu-router.ts';
export { WebGpuRouter } from './webgpu-router.ts';
export { WebGpuGatedRouter } from './webgpu-gated-router.ts';
export type { GatedRouterGpuBuffers } from './webgpu-gated-router.ts';

/**
 * Makes a WebGPU router. With `software: true` it runs on SwiftShader from the package @sparticuz/chromium, which must
 * be installed.
 *
 * @throws InvalidConfigError; BackendUnavailableError without the package `webgpu`, a Vulkan driver or an adapter
 */
export async function createWebGpuRouter(
  config: RouterConfig,
  options: WebGpuRouterOptions = {},
): Promise<WebGpuRouter> {
  checkRouterOptions(options);
  if (options.device !== undefined) return createInBrowser(config, options);
  return createRouterOnGpu(config, await openDawn(options.software ?? false, options.hardwareOnly), options);
}

/**
 * Makes a WebGPU gated router.
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
