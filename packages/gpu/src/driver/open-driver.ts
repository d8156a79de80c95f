/** Finding a GPU. */

import { BackendUnavailableError } from '../errors.ts';
import { startAmdPlatform } from './amd.ts';
import { isSupported, refuseUnsupported } from './architectures.ts';
import { type DeviceChoice, describeDevice, findDevice, platformOfChoice, preferredDevice } from './choose-device.ts';
import { gpuVariablesSet } from './environment-notes.ts';
import { NoGpuError } from './errors.ts';
import type { GpuDeviceInfo, GpuDriver, GpuPlatform } from './gpu-driver.ts';
import { type SearchedMachine, thisMachine } from './library-search.ts';
import type { NativePlatform } from './native-calls.ts';
import { NativeGpuDriver } from './native-driver.ts';
import { startNvidiaPlatform } from './nvidia.ts';
import { type LibraryLoader, loadSharedLibrary } from './shared-library.ts';

/** Which GPUs to look at. */
export interface ListGpuDevicesOptions {
  /** The runtime to ask. Defaults to AMD's and NVIDIA's. */
  readonly platform?: GpuPlatform;
  /** How libraries are loaded. Defaults to the dynamic linker. */
  readonly loader?: LibraryLoader;
  /** The environment and files that are looked at. Defaults to this machine's. */
  readonly machine?: SearchedMachine;
}

/** Which GPU to open. */
export interface OpenGpuDriverOptions extends ListGpuDevicesOptions {
  /**
   * The GPU. Defaults to what the environment variable SWITCHYARD_DEVICE names, else to a discrete GPU before an
   * integrated one, AMD's before NVIDIA's.
   */
  readonly device?: DeviceChoice;
}

/** The GPUs of a machine. */
export interface GpuDeviceList {
  /** AMD's first, each in its runtime's own order. */
  readonly devices: readonly GpuDeviceInfo[];
  /** The one that is opened where the caller chooses none; null where there is none. */
  readonly preferred: GpuDeviceInfo | null;
  /** Why a platform shows none. */
  readonly unavailable: readonly { readonly platform: GpuPlatform; readonly error: BackendUnavailableError }[];
  /** Environment variables that are set and decide what is shown, as `NAME=value`. */
  readonly variables: readonly string[];
}

const PLATFORMS: readonly GpuPlatform[] = ['amd', 'nvidia'];

/** Lists the GPUs of a machine; opens none. */
export function listGpuDevices(options: ListGpuDevicesOptions = {}): GpuDeviceList {
  const started = new StartedPlatforms(options);
  const platforms = options.platform === undefined ? PLATFORMS : [options.platform];
  for (const platform of platforms) started.start(platform);
  const choice = started.choiceOfEnvironment;
  return {
    devices: started.devices,
    preferred: choice === undefined ? preferredDevice(started.devices) : findDevice(started.devices, choice),
    unavailable: started.unavailable,
    variables: variablesOf(platforms, started.machine),
  };
}

/**
 * Opens a GPU.
 *
 * @throws the named platform's own error (GpuLibraryNotFoundError, DriverTooOldError, NoGpuError) where it has no GPU;
 * NoGpuError with both platforms' reasons in `tried` where no platform is named and neither has one, and where there is
 * no such GPU as was chosen; UnsupportedArchitectureError
 */
export function openGpuDriver(options: OpenGpuDriverOptions = {}): GpuDriver {
  const started = new StartedPlatforms(options);
  const info = choose(started, options);
  return new NativeGpuDriver(started.platformOf(info).open(info.index));
}

/**
 * The GPU that `openGpuDriver` would open. Opens none, which takes a runtime some hundred milliseconds.
 *
 * @throws what `openGpuDriver` throws
 */
export function chooseGpuDevice(options: OpenGpuDriverOptions = {}): GpuDeviceInfo {
  return choose(new StartedPlatforms(options), options);
}

function choose(started: StartedPlatforms, options: OpenGpuDriverOptions): GpuDeviceInfo {
  const choice = options.device ?? started.choiceOfEnvironment;
  const platform = options.platform ?? (choice === undefined ? null : platformOfChoice(choice));
  const candidates = platform === null ? PLATFORMS : [platform];
  for (const candidate of candidates) {
    started.start(candidate);
    const found = choice === undefined ? preferredDevice(started.devices) : findDevice(started.devices, choice);
    if (found === null) continue;
    // A GPU that is second best is taken only once every platform has been asked for a better one.
    const isBest = !found.isIntegrated && isSupported(found.architecture);
    if (choice === undefined && !isBest && candidate !== candidates.at(-1)) continue;
    return supported(found);
  }
  const preferred = preferredDevice(started.devices);
  if (choice === undefined && preferred !== null) return supported(preferred);
  throw started.refusal(choice);
}

function supported(info: GpuDeviceInfo): GpuDeviceInfo {
  refuseUnsupported(info.architecture);
  return info;
}

function variablesOf(platforms: readonly GpuPlatform[], { environment }: SearchedMachine): readonly string[] {
  return [...new Set(platforms.flatMap((platform) => gpuVariablesSet(platform, environment)))];
}

/** Runtimes that have been asked for their devices. */
class StartedPlatforms {
  readonly machine: SearchedMachine;
  readonly devices: GpuDeviceInfo[] = [];
  readonly unavailable: { readonly platform: GpuPlatform; readonly error: BackendUnavailableError }[] = [];
  readonly #loader: LibraryLoader;
  readonly #asked = new Set<GpuPlatform>();
  readonly #platforms = new Map<GpuPlatform, NativePlatform>();

  constructor({ loader = loadSharedLibrary, machine = thisMachine() }: ListGpuDevicesOptions) {
    this.#loader = loader;
    this.machine = machine;
  }

  /** What SWITCHYARD_DEVICE names; undefined where it is not set, or empty. */
  get choiceOfEnvironment(): DeviceChoice | undefined {
    return this.machine.environment['SWITCHYARD_DEVICE'] || undefined;
  }

  start(platform: GpuPlatform): void {
    this.#asked.add(platform);
    try {
      const started =
        platform === 'amd'
          ? startAmdPlatform(this.#loader, this.machine)
          : startNvidiaPlatform(this.#loader, this.machine.environment);
      this.#platforms.set(platform, started);
      this.devices.push(...started.devices);
    } catch (error) {
      if (!(error instanceof BackendUnavailableError)) throw error;
      this.unavailable.push({ platform, error });
    }
  }

  platformOf({ platform }: GpuDeviceInfo): NativePlatform {
    const started = this.#platforms.get(platform);
    if (started === undefined) throw new RangeError(`The platform ${platform} was not started.`);
    return started;
  }

  /** Why no GPU was opened. */
  refusal(choice: DeviceChoice | undefined): BackendUnavailableError {
    const [only, other] = this.unavailable;
    if (only !== undefined && other === undefined && this.devices.length === 0) return only.error;
    const reasons = this.unavailable.map(({ platform, error }) => `${platform}: ${error.message}`);
    if (this.devices.length === 0) {
      const advice = 'install an AMD or NVIDIA driver, or use backend "cpu"';
      return new NoGpuError('hip', `No GPU could be opened · ${reasons.join(' | ')} · ${advice}`, reasons);
    }
    const found = [...this.devices.map(describeDevice), ...reasons];
    const set = variablesOf([...this.#asked], this.machine);
    const hidden = set.length === 0 ? '' : `, or change ${set.join(', ')}`;
    const message = `There is no GPU '${choice}' · found ${found.join('; ')} · choose one of these${hidden}`;
    return new NoGpuError('hip', message, found);
  }
}
