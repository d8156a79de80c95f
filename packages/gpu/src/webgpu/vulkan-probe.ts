/**
 * What Vulkan has on this machine, asked before Dawn is: Dawn writes to standard error where Vulkan is missing, and a
 * program that only wants to know whether there is a GPU should not.
 */

import { reasonOf } from '../errors.ts';
import { NativeMemory, textAt } from '../driver/native-memory.ts';
import { type LibraryLoader, loadSharedLibrary } from '../driver/shared-library.ts';

/** Device types of Vulkan, by their numbers. */
const DEVICE_TYPES = ['other', 'integrated', 'discrete', 'virtual', 'cpu'] as const;

/** A device that Vulkan lists. */
export interface VulkanDevice {
  readonly name: string;
  /** `'cpu'` is a driver in software, such as llvmpipe or SwiftShader. */
  readonly type: (typeof DEVICE_TYPES)[number];
}

/** What was found: devices, none of them where Vulkan has no driver; or why there is no Vulkan. */
export type VulkanProbe =
  | { readonly devices: readonly VulkanDevice[]; readonly reason: null }
  | { readonly devices: null; readonly reason: string };

const VULKAN_LOADER = 'libvulkan.so.1';
/** VkInstanceCreateInfo, all of it zero but the first word, and that word. */
const INSTANCE_INFO_BYTES = 64;
const INSTANCE_INFO_TYPE = 1;
/** VK_ERROR_INCOMPATIBLE_DRIVER: there is no driver. */
const NO_DRIVER = -9;
const MOST_DEVICES = 16;
/** More than VkPhysicalDeviceProperties takes, and where two of its fields are. */
const PROPERTIES_BYTES = 2048;
const PROPERTIES = { type: 16, name: 20 } as const;

/** Asks Vulkan for its devices. Linux only; elsewhere WebGPU does not go through Vulkan. */
export function probeVulkan(loader: LibraryLoader = loadSharedLibrary): VulkanProbe {
  let library: ReturnType<LibraryLoader>;
  try {
    library = loader(VULKAN_LOADER);
  } catch (error) {
    return missing(`${VULKAN_LOADER}: ${reasonOf(error)}`);
  }
  const createInstance = library.find('vkCreateInstance', 'int', ['void *', 'void *', 'void *']);
  const listDevices = library.find('vkEnumeratePhysicalDevices', 'int', ['void *', 'void *', 'void *']);
  const describe = library.find('vkGetPhysicalDeviceProperties', 'int', ['void *', 'void *']);
  const destroyInstance = library.find('vkDestroyInstance', 'int', ['void *', 'void *']);
  if (createInstance === null || listDevices === null || describe === null || destroyInstance === null) {
    return missing(`${VULKAN_LOADER}: not a Vulkan loader`);
  }
  const info = new NativeMemory(INSTANCE_INFO_BYTES);
  info.view.setUint32(0, INSTANCE_INFO_TYPE, true);
  const out = new NativeMemory(8);
  const created = createInstance(info.address, 0n, out.address);
  if (created === NO_DRIVER) return { devices: [], reason: null };
  if (created !== 0) return missing(`vkCreateInstance: ${created}`);
  const instance = out.view.getBigUint64(0, true);
  try {
    const handles = new NativeMemory(8 * MOST_DEVICES);
    out.view.setUint32(0, MOST_DEVICES, true);
    // More devices than there is room for give a positive status, and the first of them.
    const listed = Number(listDevices(instance, out.address, handles.address));
    if (listed < 0) return missing(`vkEnumeratePhysicalDevices: ${listed}`);
    const properties = new NativeMemory(PROPERTIES_BYTES);
    const devices = Array.from({ length: out.view.getUint32(0, true) }, (_, index): VulkanDevice => {
      describe(handles.view.getBigUint64(index * 8, true), properties.address);
      const type = DEVICE_TYPES[properties.view.getUint32(PROPERTIES.type, true)] ?? 'other';
      return { name: textAt(properties.address + BigInt(PROPERTIES.name)), type };
    });
    return { devices, reason: null };
  } finally {
    destroyInstance(instance, 0n);
  }
}

function missing(reason: string): VulkanProbe {
  return { devices: null, reason };
}
