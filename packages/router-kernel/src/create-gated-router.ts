/** Making a gated router on a backend of choice. */

import { notLoaded, startChosenBackend } from './backend-choice.ts';
import type { BackendOptions } from './backend-choice.ts';
import { createCpuGatedRouter } from './cpu/index.ts';
import type { GatedRouter, GatedRouterConfig } from './gate/gate-contract.ts';
import { resolveGatedRouterConfig } from './gate/resolve-gate.ts';

/** The configuration of a gated router, and where it shall run. */
export interface CreateGatedRouterOptions extends GatedRouterConfig, BackendOptions {}

/**
 * Makes a gated router: the gate projection and the router of a layer.
 *
 * @throws InvalidConfigError for a wrong option; BackendUnavailableError where the named backend cannot start
 */
export async function createGatedRouter(options: CreateGatedRouterOptions): Promise<GatedRouter> {
  const { backend, device, logger, ...config } = options;
  resolveGatedRouterConfig(config);
  const choice = { ...(backend && { backend }), ...(device !== undefined && { device }), ...(logger && { logger }) };
  return startChosenBackend<GatedRouter>(choice, async (chosen, settings) => {
    if (chosen === 'cpu') return createCpuGatedRouter(config);
    const common = settings.logger === undefined ? {} : { logger: settings.logger };
    if (chosen === 'hip') {
      const { createHipGatedRouter } = await import('./hip/index.ts').catch((cause: unknown) =>
        notLoaded(chosen, cause),
      );
      return createHipGatedRouter(
        config,
        settings.device === undefined ? common : { ...common, device: settings.device },
      );
    }
    const { createWebGpuGatedRouter } = await import('./webgpu/index.ts').catch((cause: unknown) =>
      notLoaded(chosen, cause),
    );
    return createWebGpuGatedRouter(config, { ...common, hardwareOnly: settings.hardwareOnly });
  });
}
