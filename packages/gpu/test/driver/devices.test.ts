import assert from 'node:assert/strict';
import { describeDevice, deviceId } from '../../src/driver/choose-device.ts';
import { amdDeviceAdvice } from '../../src/driver/environment-notes.ts';
import { NoGpuError, UnsupportedArchitectureError } from '../../src/driver/errors.ts';
import { chooseGpuDevice, listGpuDevices, openGpuDriver } from '../../src/driver/open-driver.ts';
import { loaderOf, machineOf, paperCuda, paperHip } from './paper-machine.ts';
import type { PaperGpu } from './paper-machine.ts';

const GIB = 2 ** 30;
const RYZEN: PaperGpu = { name: 'AMD Radeon Graphics', architecture: 'gfx1036', isIntegrated: true, memoryBytes: GIB };
const RADEON: PaperGpu = { name: 'AMD Radeon RX 7900 XTX', architecture: 'gfx1100', memoryBytes: 24 * GIB };
const INSTINCT: PaperGpu = {
  name: 'AMD Instinct MI250X',
  architecture: 'gfx90a:sramecc+:xnack-',
  memoryBytes: 64 * GIB,
};
const POLARIS: PaperGpu = { name: 'AMD Radeon RX 580', architecture: 'gfx803', memoryBytes: 8 * GIB };
const HOPPER: PaperGpu = { name: 'NVIDIA H100 80GB HBM3', architecture: 'sm_90', memoryBytes: 80 * GIB };
const ORIN: PaperGpu = { name: 'Orin', architecture: 'sm_87', isIntegrated: true, memoryBytes: 32 * GIB };

/** A machine with these GPUs, and which of them were opened. */
function machineWith(gpus: { readonly amd?: readonly PaperGpu[]; readonly nvidia?: readonly PaperGpu[] }) {
  const [openedAmd, openedNvidia]: [number[], number[]] = [[], []];
  const load = loaderOf({
    ...(gpus.amd && { 'libamdhip64.so.7': paperHip(gpus.amd, openedAmd) }),
    ...(gpus.nvidia && { 'libcuda.so.1': paperCuda(gpus.nvidia, openedNvidia) }),
  });
  const loaded: string[] = [];
  const loader: typeof load = (path) => {
    const library = load(path);
    loaded.push(path);
    return library;
  };
  const options = (environment: NodeJS.ProcessEnv = {}) => ({ loader, machine: machineOf([], environment) });
  return { options, loaded, openedAmd, openedNvidia };
}

describe('the GPUs of a machine', () => {
  it('are all listed, with architecture and memory, AMD first', () => {
    const { options, openedAmd, openedNvidia } = machineWith({ amd: [RYZEN, INSTINCT], nvidia: [HOPPER] });
    const { devices, preferred, unavailable, variables } = listGpuDevices(options());
    assert.deepEqual(
      devices.map((device) => [describeDevice(device), device.memoryBytes / GIB, device.waveSize]),
      [
        ['amd:0 AMD Radeon Graphics (gfx1036, integrated)', 1, 32],
        ['amd:1 AMD Instinct MI250X (gfx90a)', 64, 64],
        ['nvidia:0 NVIDIA H100 80GB HBM3 (sm_90)', 80, 32],
      ],
    );
    assert.equal(preferred && deviceId(preferred), 'amd:1');
    assert.deepEqual([unavailable, variables, openedAmd, openedNvidia], [[], [], [], []]);
  });

  it('come with the reason of a platform that shows none, and with the variables that hide some', () => {
    const { options } = machineWith({ amd: [], nvidia: [HOPPER] });
    const environment = { HIP_VISIBLE_DEVICES: '-1', CUDA_VISIBLE_DEVICES: '0', HSA_OVERRIDE_GFX_VERSION: '11.0.0' };
    const { devices, unavailable, variables } = listGpuDevices(options(environment));
    assert.deepEqual(devices.map(deviceId), ['nvidia:0']);
    assert.deepEqual(
      unavailable.map(({ platform }) => platform),
      ['amd'],
    );
    assert.match(unavailable[0]?.error.message ?? '', /HIP_VISIBLE_DEVICES=-1, CUDA_VISIBLE_DEVICES=0/);
    assert.deepEqual(variables, [
      'HIP_VISIBLE_DEVICES=-1',
      'CUDA_VISIBLE_DEVICES=0',
      'HSA_OVERRIDE_GFX_VERSION=11.0.0',
    ]);
    assert.deepEqual(listGpuDevices({ ...options(), platform: 'nvidia' }).unavailable, []);
  });
});

describe('the GPU that is opened', () => {
  const opened = (
    gpus: Parameters<typeof machineWith>[0],
    device?: number | string,
    environment?: NodeJS.ProcessEnv,
  ): string => {
    const { options } = machineWith(gpus);
    using driver = openGpuDriver({ ...options(environment), ...(device !== undefined && { device }) });
    return deviceId(driver.info);
  };

  it('is a discrete one before an integrated one, of whichever maker', () => {
    assert.equal(opened({ amd: [RYZEN, RADEON] }), 'amd:1');
    assert.equal(opened({ amd: [RYZEN], nvidia: [HOPPER] }), 'nvidia:0');
    assert.equal(opened({ amd: [RADEON], nvidia: [HOPPER] }), 'amd:0');
    assert.equal(opened({ nvidia: [ORIN] }), 'nvidia:0');
    assert.equal(opened({ amd: [RYZEN], nvidia: [ORIN] }), 'amd:0');
  });

  it('needs no other runtime where the first has a discrete one', () => {
    const { options, loaded, openedAmd } = machineWith({ amd: [RYZEN, RADEON], nvidia: [HOPPER] });
    openGpuDriver(options()).dispose();
    assert.deepEqual(loaded, ['libamdhip64.so.7']);
    assert.deepEqual(new Set(openedAmd), new Set([1]));
  });

  const machine = { amd: [RYZEN, RADEON, INSTINCT], nvidia: [HOPPER] };
  for (const [choice, found] of [
    [0, 'amd:0'],
    [2, 'amd:2'],
    [3, 'nvidia:0'],
    ['1', 'amd:1'],
    ['amd:0', 'amd:0'],
    ['rocm:2', 'amd:2'],
    ['hip:1', 'amd:1'],
    ['CUDA:0', 'nvidia:0'],
    ['gfx90a', 'amd:2'],
    ['gfx90a:sramecc+:xnack-', 'amd:2'],
    ['sm_90', 'nvidia:0'],
    ['rx 7900', 'amd:1'],
    ['radeon', 'amd:1'],
    ['H100', 'nvidia:0'],
  ] as const) {
    it(`can be chosen as ${JSON.stringify(choice)}`, () => {
      assert.equal(opened(machine, choice), found);
      assert.equal(opened(machine, undefined, { SWITCHYARD_DEVICE: String(choice) }), found);
    });
  }

  it('is chosen by the call before the environment, whose empty value is none', () => {
    assert.equal(opened(machine, 0, { SWITCHYARD_DEVICE: '2' }), 'amd:0');
    assert.equal(opened(machine, undefined, { SWITCHYARD_DEVICE: '' }), 'amd:1');
  });

  it('counts within a platform that is named', () => {
    const { options } = machineWith(machine);
    using driver = openGpuDriver({ ...options(), platform: 'nvidia', device: 0 });
    assert.equal(deviceId(driver.info), 'nvidia:0');
  });

  for (const choice of [
    4,
    -1,
    1.5,
    Number.NaN,
    'amd:3',
    'nvidia:1',
    'intel:0',
    'gfx1201',
    'gfx90a:fast',
    'MI300',
    ' ',
  ]) {
    it(`is not one that is not there: ${JSON.stringify(choice)}`, () => {
      assert.throws(
        () => opened(machine, choice, { ROCR_VISIBLE_DEVICES: '0,1,2' }),
        (error) => {
          assert.ok(error instanceof NoGpuError, String(error));
          assert.ok(error.message.startsWith(`There is no GPU '${choice}' · found `), error.message);
          if (!String(choice).startsWith('nvidia')) {
            assert.match(error.message, /amd:1 AMD Radeon RX 7900 XTX \(gfx1100\)/);
            assert.match(error.message, /choose one of these, or change ROCR_VISIBLE_DEVICES=0,1,2$/);
          }
          return true;
        },
      );
    });
  }

  it('is never a gfx803 where there is another, and a clear refusal where there is none', () => {
    assert.equal(opened({ amd: [POLARIS, RYZEN] }), 'amd:1');
    assert.equal(opened({ amd: [POLARIS], nvidia: [HOPPER] }), 'nvidia:0');
    for (const choice of [undefined, 'amd:0']) {
      assert.throws(
        () => opened({ amd: [POLARIS] }, choice),
        (error) =>
          error instanceof UnsupportedArchitectureError &&
          error.code === 'UNSUPPORTED_ARCHITECTURE' &&
          /^gfx803 is not supported · .*gfx9.*gfx10.* · use such a GPU, or backend "cpu"$/.test(error.message),
      );
    }
  });

  it('is known before it is opened', () => {
    const { options, openedAmd } = machineWith({ amd: [RYZEN, RADEON], nvidia: [HOPPER] });
    assert.equal(deviceId(chooseGpuDevice(options())), 'amd:1');
    assert.equal(deviceId(chooseGpuDevice({ ...options(), device: 'H100' })), 'nvidia:0');
    assert.throws(() => chooseGpuDevice({ ...options(), device: 'gfx1201' }), NoGpuError);
    assert.deepEqual(openedAmd, []);
    const old = machineWith({ amd: [POLARIS] });
    assert.throws(() => chooseGpuDevice(old.options()), UnsupportedArchitectureError);
  });

  it('may be one of several that are open at once', () => {
    const { options, openedAmd } = machineWith({ amd: [RADEON, INSTINCT] });
    using first = openGpuDriver({ ...options(), device: 0 });
    using second = openGpuDriver({ ...options(), device: 1 });
    openedAmd.length = 0;
    first.createStream();
    second.createStream();
    first.createEvent();
    assert.deepEqual(openedAmd, [0, 1, 0]);
  });
});

describe('the advice where no AMD GPU is seen', () => {
  const failing = (code: string) => () => {
    throw Object.assign(new Error(code), { code });
  };

  it('names the driver, and what a container must be given, where /dev/kfd is missing', () => {
    assert.match(
      amdDeviceAdvice(failing('ENOENT')),
      /\/dev\/kfd is missing: load the amdgpu driver, .*--device \/dev\/kfd --device \/dev\/dri$/,
    );
  });

  it('names the render group where /dev/kfd may not be opened', () => {
    for (const code of ['EACCES', 'EPERM']) {
      const advice = amdDeviceAdvice(failing(code));
      assert.match(advice, /usermod -aG render,video \$USER/);
      assert.match(advice, /--device \/dev\/kfd --device \/dev\/dri --group-add render$/);
    }
  });

  it('sends to rocminfo where /dev/kfd is there', () => {
    assert.equal(
      amdDeviceAdvice(() => undefined),
      'check that rocminfo lists it',
    );
  });
});
