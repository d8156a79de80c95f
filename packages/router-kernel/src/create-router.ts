/** Choosing a backend. */

import type { Logger } from '@switchyard/gpu/logger';
import { resolveRouterConfig } from './contract.ts';
import type { Router, RouterBackend, RouterConfig } from './contract.ts';
import { createCpuRouter } from './cpu/index.ts';
import { BackendUnavailableError, InvalidConfigError, RouterError } from './errors.ts';

/** The configuration of a router, and where it shall run. */
export interface CreateRouterOptions extends RouterConfig {
  /**
   * Where to run. `'auto'` takes the first that starts of hip, webgpu and cpu, unless the environment variable
   * SWITCHYARD_ROUTER names one. Defaults to `'auto'`.
   */
  readonly backend?: RouterBackend | 'auto';
  /** Hears why a backend was passed over (`info`). Defaults to silence. */
  readonly logger?: Logger;
}

const BACKENDS: readonly RouterBackend[] = ['hip', 'webgpu', 'cpu'];

/**
 * Makes a router.
 *
 * @throws InvalidConfigError for a wrong option; BackendUnavailableError where the named backend cannot start
 */
export async function createRouter(options: CreateRouterOptions): Promise<Router> {
  const { backend = 'auto', logger, ...config } = options;
  resolveRouterConfig(config);
  const wanted = resolveBackend(backend);
  if (wanted !== 'auto') return startBackend(wanted, config, logger);

  const passedOver: string[] = [];
  for (const candidate of BACKENDS) {
    try {
      return await startBackend(candidate, config, logger);
    } catch (error) {
      // Anything but a refusal of this package is a defect, and hiding it behind another backend would keep it.
      if (!(error instanceof RouterError)) throw error;
      passedOver.push(`${candidate}: ${error.message}`);
      logger?.info?.(`Router backend ${candidate} passed over. ${error.message}`);
    }
  }
  throw new BackendUnavailableError('auto', `No router backend could start. ${passedOver.join(' ')}`, passedOver);
}

function resolveBackend(backend: string): RouterBackend | 'auto' {
  const fromEnvironment = backend === 'auto' ? process.env['SWITCHYARD_ROUTER'] : undefined;
  const name = fromEnvironment || backend;
  if (name === 'auto' || isBackend(name)) return name;
  const source = fromEnvironment ? 'The environment variable SWITCHYARD_ROUTER' : 'backend';
  throw new InvalidConfigError(
    'backend',
    name,
    `${source} must be one of 'auto', 'hip', 'webgpu', 'cpu'; found '${name}'.`,
  );
}

function isBackend(name: string): name is RouterBackend {
  return BACKENDS.some((backend) => backend === name);
}

async function startBackend(backend: RouterBackend, config: RouterConfig, logger: Logger | undefined): Promise<Router> {
  if (backend === 'cpu') return createCpuRouter(config);
  const options = logger === undefined ? {} : { logger };
  if (backend === 'hip') {
    const { createHipRouter } = await import('./hip/index.ts');
    return createHipRouter(config, options);
  }
  const { createWebGpuRouter } = await import('./webgpu/index.ts');
  return createWebGpuRouter(config, options);
}
