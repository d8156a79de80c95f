/** Choosing a backend. */

import { resolveRouterConfig } from './contract.ts';
import type { Router, RouterBackend, RouterConfig } from './contract.ts';
import { createCpuRouter } from './cpu/index.ts';
import { environmentVariables } from './environment.ts';
import { BackendUnavailableError, InvalidConfigError, RouterError } from './errors.ts';
import type { RouterLogger } from './logger.ts';

export type { RouterLogger } from './logger.ts';

/** The configuration of a router, and where it shall run. */
export interface CreateRouterOptions extends RouterConfig {
  /**
   * Where to run. `'auto'` takes the first that starts of hip, webgpu and cpu, unless the environment variable
   * SWITCHYARD_ROUTER names one. Defaults to `'auto'`.
   */
  readonly backend?: RouterBackend | 'auto';
  /** Hears why a backend was passed over (`info`). Defaults to silence. */
  readonly logger?: RouterLogger;
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
  const fromEnvironment = backend === 'auto' ? environmentVariables()['SWITCHYARD_ROUTER'] : undefined;
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

async function startBackend(
  backend: RouterBackend,
  config: RouterConfig,
  logger: RouterLogger | undefined,
): Promise<Router> {
  if (backend === 'cpu') return createCpuRouter(config);
  const options = logger === undefined ? {} : { logger };
  if (backend === 'hip') {
    const { createHipRouter } = await import('./hip/index.ts').catch((cause: unknown) => notLoaded(backend, cause));
    return createHipRouter(config, options);
  }
  const { createWebGpuRouter } = await import('./webgpu/index.ts').catch((cause: unknown) => notLoaded(backend, cause));
  return createWebGpuRouter(config, options);
}

/** A backend's modules load native code, which a platform may lack and a process may forbid (`node --permission`). */
function notLoaded(backend: RouterBackend, cause: unknown): never {
  const reason = String(cause).split('\n')[0] ?? '';
  throw new BackendUnavailableError(
    backend,
    `The modules of backend "${backend}" did not load: ${reason}. Install this package for this platform and allow native addons, or use backend "cpu".`,
    [reason],
    { cause },
  );
}
