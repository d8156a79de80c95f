/** Making a router on a backend of choice. */

import { notLoaded, startChosenBackend } from './backend-choice.ts';
import type { BackendOptions } from './backend-choice.ts';
import type { PlanningRouter, Router, RouterConfig } from './contract.ts';
import { createCpuRouter } from './cpu/index.ts';
import { resolveRouterConfig } from './resolve-config.ts';

/** The configuration of a router, and where it shall run. */
export interface CreateRouterOptions extends RouterConfig, BackendOptions {}

/**
 * Makes a router.
 *
 * @throws InvalidConfigError for a wrong option; BackendUnavailableError where the named backend cannot start
 */
export function createRouter(options: CreateRouterOptions & { readonly dispatchPlan: true }): Promise<PlanningRouter>;
export function createRouter(options: CreateRouterOptions): Promise<Router>;
export async function createRouter(options: CreateRouterOptions): Promise<Router> {
  const { backend, device, logger, ...config } = options;
  resolveRouterConfig(config);
  const choice = { ...(backend && { backend }), ...(device !== undefined && { device }), ...(logger && { logger }) };
  return startChosenBackend<Router>(choice, async (chosen, settings) => {
    if (chosen === 'cpu') return createCpuRouter(config);
    const common = settings.logger === undefined ? {} : { logger: settings.logger };
    if (chosen === 'hip') {
      const { createHipRouter } = await import('./hip/index.ts').catch((cause: unknown) => notLoaded(chosen, cause));
      return createHipRouter(config, settings.device === undefined ? common : { ...common, device: settings.device });
    }
    const { createWebGpuRouter } = await import('./webgpu/index.ts').catch((cause: unknown) =>
      notLoaded(chosen, cause),
    );
    return createWebGpuRouter(config, { ...common, hardwareOnly: settings.hardwareOnly });
  });
}
