/** Which of several GPUs is meant. */

import { isSupported, withoutFeatures } from './architectures.ts';
import type { GpuDeviceInfo, GpuPlatform } from './gpu-driver.ts';

/**
 * A choice among GPUs: a position in the list that `listGpuDevices` gives (AMD's first), `'amd:1'` or `'nvidia:0'` (the
 * runtime's own index), an architecture (`'gfx942'`, with or without settings such as `':xnack-'`), or a part of a name
 * (`'MI300X'`).
 */
export type DeviceChoice = number | string;

const PLATFORM_NAMES: Readonly<Record<string, GpuPlatform>> = {
  amd: 'amd',
  hip: 'amd',
  rocm: 'amd',
  nvidia: 'nvidia',
  cuda: 'nvidia',
};

/** The platform that a choice names; null where it names none. */
export function platformOfChoice(choice: DeviceChoice): GpuPlatform | null {
  return parseIndexed(choice)?.platform ?? null;
}

/** The GPU that a choice means: the first of the preferred order where several fit; null where none does. */
export function findDevice(devices: readonly GpuDeviceInfo[], choice: DeviceChoice): GpuDeviceInfo | null {
  const indexed = parseIndexed(choice);
  if (indexed !== null) {
    const { platform, index } = indexed;
    if (platform === null) return devices[index] ?? null;
    return devices.find((device) => device.platform === platform && device.index === index) ?? null;
  }
  const wanted = String(choice).trim().toLowerCase();
  if (wanted === '') return null;
  const named = devices.filter(
    ({ name, architecture }) => architecture === withoutFeatures(wanted) || name.toLowerCase().includes(wanted),
  );
  return preferredDevice(named);
}

/** The GPU that is taken where none is chosen: a supported one, a discrete one, the first; null where there is none. */
export function preferredDevice(devices: readonly GpuDeviceInfo[]): GpuDeviceInfo | null {
  const rank = ({ architecture, isIntegrated }: GpuDeviceInfo): number =>
    (isSupported(architecture) ? 0 : 2) + (isIntegrated ? 1 : 0);
  return [...devices].sort((a, b) => rank(a) - rank(b))[0] ?? null;
}

/** A GPU's name for `device` options: `'amd:0'`. */
export function deviceId({ platform, index }: Pick<GpuDeviceInfo, 'platform' | 'index'>): string {
  return `${platform}:${index}`;
}

/** A GPU in a few words: `amd:0 AMD Instinct MI300X (gfx942)`. */
export function describeDevice(device: GpuDeviceInfo): string {
  const integrated = device.isIntegrated ? ', integrated' : '';
  return `${deviceId(device)} ${device.name} (${device.architecture}${integrated})`;
}

function parseIndexed(choice: DeviceChoice): { readonly platform: GpuPlatform | null; readonly index: number } | null {
  const match = /^(?:([a-z]+):)?(\d+)$/.exec(String(choice).trim().toLowerCase());
  if (match === null) return null;
  const index = Number(match[2]);
  if (match[1] === undefined) return { platform: null, index };
  const platform = PLATFORM_NAMES[match[1]];
  return platform === undefined ? null : { platform, index };
}
