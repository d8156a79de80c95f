import type { Router, RouterConfig } from '../contract.ts';
import { BackendUnavailableError } from '../errors.ts';
import type { RouterLogger } from '../logger.ts';

/** The HIP router. @throws BackendUnavailableError: it is not part of this build */
export async function createHipRouter(_config: RouterConfig, _options?: { logger?: RouterLogger }): Promise<Router> {
  throw new BackendUnavailableError('hip', 'The HIP router is not part of this build. Use backend "cpu".');
}
