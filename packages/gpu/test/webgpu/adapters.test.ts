import assert from 'node:assert/strict';
import { isSoftwareAdapter } from '../../src/webgpu/adapters.ts';
import { viewOf } from '../../src/driver/native-memory.ts';
import type { NativeArgument } from '../../src/driver/shared-library.ts';
import { probeVulkan } from '../../src/webgpu/vulkan-probe.ts';
import { loaderOf } from '../driver/paper-machine.ts';

const BLANK = { vendor: '', architecture: '', device: '', description: '' };

describe('an adapter', () => {
  for (const info of [
    { ...BLANK, vendor: 'mesa', description: 'llvmpipe (LLVM 17.0.6, 256 bits)' },
    { ...BLANK, vendor: 'google', architecture: 'swiftshader', device: 'SwiftShader Device (Subzero)' },
    { ...BLANK, description: 'Microsoft Basic Render Driver' },
    { ...BLANK, vendor: 'apple', isFallbackAdapter: true },
  ]) {
    it(`is software: ${JSON.stringify(info)}`, () => assert.equal(isSoftwareAdapter(info), true));
  }

  for (const info of [
    undefined,
    {},
    { ...BLANK, vendor: 'amd', architecture: 'rdna-3', description: 'AMD Radeon RX 7900 XTX (RADV NAVI31)' },
    { ...BLANK, vendor: 'nvidia', architecture: 'hopper', isFallbackAdapter: false },
    { ...BLANK, description: 'Warpspeed 3000' },
  ]) {
    it(`is a GPU: ${JSON.stringify(info)}`, () => assert.equal(isSoftwareAdapter(info), false));
  }
});

describe('what Vulkan has', () => {
  const write = (address: NativeArgument | undefined, value: bigint): void =>
    new DataView(viewOf(address as bigint, 8)).setBigUint64(0, value, true);

  /** A Vulkan loader that answers `vkCreateInstance` with a status, and lists devices by type and name. */
  function vulkanWith(status: number, devices: readonly (readonly [type: number, name: string])[] = []) {
    let alive = 0;
    const loader = loaderOf({
      'libvulkan.so.1': {
        vkCreateInstance: (info, _, out) => {
          assert.deepEqual(
            [...new Uint8Array(viewOf(info as bigint, 64))],
            [1, ...Array.from({ length: 63 }, () => 0)],
          );
          if (status === 0) alive += 1;
          write(out, 7n);
          return status;
        },
        vkEnumeratePhysicalDevices: (instance, count, handles) => {
          assert.equal(instance, 7n);
          for (const [index] of devices.entries()) write((handles as bigint) + BigInt(8 * index), BigInt(index));
          new DataView(viewOf(count as bigint, 4)).setUint32(0, devices.length, true);
          return 0;
        },
        vkGetPhysicalDeviceProperties: (device, properties) => {
          const [type = 0, name = ''] = devices[Number(device)] ?? [];
          new DataView(viewOf(properties as bigint, 20)).setUint32(16, type, true);
          new Uint8Array(viewOf(properties as bigint, 20 + name.length + 1)).set(Buffer.from(`${name}\0`), 20);
          return 0;
        },
        vkDestroyInstance: () => {
          alive -= 1;
          return 0;
        },
      },
    });
    return { loader, alive: () => alive };
  }

  it('is nothing without its loader, and the reason says so', () => {
    assert.deepEqual(probeVulkan(loaderOf({})), { devices: null, reason: 'libvulkan.so.1: no such file' });
    const other = probeVulkan(loaderOf({ 'libvulkan.so.1': {} }));
    assert.deepEqual(other, { devices: null, reason: 'libvulkan.so.1: not a Vulkan loader' });
  });

  it('is no device without a driver', () => {
    assert.deepEqual(probeVulkan(vulkanWith(-9).loader), { devices: [], reason: null });
  });

  it('is a reason where it fails otherwise', () => {
    assert.deepEqual(probeVulkan(vulkanWith(-1).loader), { devices: null, reason: 'vkCreateInstance: -1' });
  });

  it('is a list of devices with their types, and nothing is left open', () => {
    const { loader, alive } = vulkanWith(0, [
      [2, 'AMD Radeon RX 7900 XTX'],
      [4, 'llvmpipe'],
      [99, 'new'],
    ]);
    assert.deepEqual(probeVulkan(loader).devices, [
      { name: 'AMD Radeon RX 7900 XTX', type: 'discrete' },
      { name: 'llvmpipe', type: 'cpu' },
      { name: 'new', type: 'other' },
    ]);
    assert.equal(alive(), 0);
  });
});
