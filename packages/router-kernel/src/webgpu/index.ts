import type { Router, RouterConfig } from '../contract.ts';
import { BackendUnavailableError } from '../errors.ts';
import type { RouterLogger } from '../logger.ts';

/** The WebGPU router. @throws BackendUnavailableError: it is not part of this build */
export async function createWebGpuRouter(_config: RouterConfig, _options?: { logger?: RouterLogger }): Promise<Router> {
  throw new BackendUnavailableError('webgpu', 'The WebGPU router is not part of this build. Use backend "cpu".');
}
