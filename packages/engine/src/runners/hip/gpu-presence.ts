/**
 * A look at the files of the system for a GPU, before any library is loaded to ask for one: that takes some tens of
 * milliseconds, which a machine without a GPU should not pay at every start.
 */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { environmentVariables } from '@switchyard/gpu/environment';
import { BackendUnavailableError } from '@switchyard/gpu/errors';

/** The system that is looked at. Replaced in tests. */
export interface LookedAtSystem {
  readonly platform: NodeJS.Platform;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly exists: (file: string) => boolean;
  /** Names in a folder; throws where it cannot be read. */
  readonly list: (folder: string) => readonly string[];
  readonly read: (file: string) => string;
}

function thisSystem(): LookedAtSystem {
  return {
    platform: process.platform,
    environment: environmentVariables(),
    exists: existsSync,
    list: readdirSync,
    read: (file) => readFileSync(file, 'utf8'),
  };
}

/** Files of the drivers: AMD's, NVIDIA's, NVIDIA's on Tegra, and that of Windows Subsystem for Linux. */
const DRIVER_FILES = ['/dev/kfd', '/dev/nvidiactl', '/dev/nvidia0', '/dev/nvhost-gpu', '/dev/nvgpu', '/dev/dxg'];
/** Whoever sets one of these has a runtime of their own. */
const VARIABLES = ['ROCM_PATH', 'HIP_PATH', 'SWITCHYARD_DEVICE'];
/** NVIDIA's driver makes its files when it is first asked, so that the card itself counts as well. */
const PCI_DEVICES = '/sys/bus/pci/devices';
const VENDORS = ['0x1002', '0x10de'];
/** Display controllers and processing accelerators, as PCI numbers them. */
const CLASSES = ['0x03', '0x12'];

/**
 * Throws where no GPU can be here. That it does not is no promise of one.
 *
 * @throws BackendUnavailableError
 */
export function assertGpuPresent(system: LookedAtSystem = thisSystem()): void {
  const { platform, environment, exists } = system;
  if (platform !== 'linux' || VARIABLES.some((name) => (environment[name] ?? '') !== '')) return;
  if (DRIVER_FILES.some(exists) || hasCard(system)) return;
  throw new BackendUnavailableError(
    'hip',
    'There is no AMD or NVIDIA GPU · found no file of a driver, such as /dev/kfd or /dev/nvidiactl, and no card · pass the device in where this is a container, or name the runner (--runner hip) to hear what its driver says',
    DRIVER_FILES,
  );
}

function hasCard({ list, read }: LookedAtSystem): boolean {
  try {
    return list(PCI_DEVICES).some((address) => {
      const folder = join(PCI_DEVICES, address);
      if (!VENDORS.includes(read(join(folder, 'vendor')).trim())) return false;
      const kind = read(join(folder, 'class'));
      return CLASSES.some((prefix) => kind.startsWith(prefix));
    });
  } catch {
    // Where the list of devices may not be read, drivers have to be asked.
    return true;
  }
}
