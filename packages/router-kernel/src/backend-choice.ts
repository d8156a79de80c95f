/** Which backend a router runs on: the one that is named, or the first that starts. */

import type { DeviceChoice } from '@switchyard/gpu';
import { environmentVariables } from '@switchyard/gpu/environment';
import type { Logger } from '@switchyard/gpu/logger';
import type { RouterBackend } from './contract.ts';
import { BackendUnavailableError, InvalidConfigError, RouterError } from './errors.ts';

/** Where a router shall run. */
export interface BackendOptions {
  /**
   * Where to run. `'auto'` takes the first that starts of hip, webgpu and cpu, unless the environment variable
   * SWITCHYARD_ROUTER names one. Defaults to `'auto'`.
   */
  readonly backend?: RouterBackend | 'auto';
  /**
   * The GPU of backend `'hip'`: a position in the list of `probeBackends` (AMD's first), `'amd:1'`, `'nvidia:0'`, an
   * architecture (`'gfx942'`) or a part of a name. Defaults to what the environment variable SWITCHYARD_DEVICE names,
   * else to a discrete GPU before an integrated one. Where one is named, here or there, `'auto'` takes `'hip'` or fails.
   */
  readonly device?: DeviceChoice;
  /** Hears why a backend was passed over (`info`). Defaults to silence. */
  readonly logger?: Logger;
}

/** What a backend is started with, each of which takes what concerns it. */
export interface BackendSettings {
  readonly device: DeviceChoice | undefined;
  readonly logger: Logger | undefined;
  /** Whether WebGPU in software is refused: it is slower than the CPU router. */
  readonly hardwareOnly: boolean;
}

/** Makes something on a backend. */
export type StartBackend<Made> = (backend: RouterBackend, settings: BackendSettings) => Promise<Made>;

const BACKENDS: readonly RouterBackend[] = ['hip', 'webgpu', 'cpu'];

/**
 * Starts the backend that options name, or the first that starts.
 *
 * @throws InvalidConfigError for a wrong option; BackendUnavailableError where the named backend cannot start
 */
export async function startChosenBackend<Made>(
  { backend = 'auto', device, logger }: BackendOptions,
  start: StartBackend<Made>,
): Promise<Made> {
  const named = resolveBackend(backend);
  checkDevice(device, named);
  const namesDevice = device !== undefined || Boolean(environmentVariables()['SWITCHYARD_DEVICE']);
  const wanted = named === 'auto' && namesDevice ? 'hip' : named;
  const settings: BackendSettings = { device, logger, hardwareOnly: wanted === 'auto' };
  if (wanted !== 'auto') return start(wanted, settings);

  const passedOver: string[] = [];
  for (const candidate of BACKENDS) {
    try {
      return await start(candidate, settings);
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
    `${source} must be one of 'auto', 'hip', 'webgpu', 'cpu' · found '${name}' · choose one, or leave it out`,
  );
}

function checkDevice(device: unknown, backend: RouterBackend | 'auto'): void {
  if (device === undefined) return;
  if (typeof device !== 'number' && typeof device !== 'string') {
    throw new InvalidConfigError(
      'device',
      device,
      `device must be a number or a text · found ${typeof device} · pass an index, or a part of the GPU's name`,
    );
  }
  if (backend === 'auto' || backend === 'hip') return;
  throw new InvalidConfigError(
    'device',
    device,
    `device chooses a GPU of backend 'hip' · found '${device}' with backend '${backend}' · leave it out, or use backend 'hip'`,
  );
}

function isBackend(name: string): name is RouterBackend {
  return BACKENDS.some((backend) => backend === name);
}

/** A backend's modules load native code, which a platform may lack and a process may forbid (`node --permission`). */
export function notLoaded(backend: RouterBackend, cause: unknown): never {
  const reason = String(cause).split('\n')[0] ?? '';
  throw new BackendUnavailableError(
    backend,
    `The modules of backend "${backend}" did not load · found ${reason} · install this package for this platform and allow native addons, or use backend "cpu"`,
    [reason],
    { cause },
  );
}
