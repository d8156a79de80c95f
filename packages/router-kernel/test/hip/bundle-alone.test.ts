/**
 * Routers and gated routers of published models on machines without hipRTC: a stand-in for AMD's runtime lists a GPU of each architecture,
 * answers every call, and notes which code objects are loaded and which kernels are launched.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GpuLibraryNotFoundError, openGpuDriver, openHiprtc, UnsupportedArchitectureError } from '@switchyard/gpu';
import type { GpuDriver, LibraryLoader } from '@switchyard/gpu';
import { viewOf } from '../../../gpu/src/driver/native-memory.ts';
import type { NativeArgument, NativeFunction } from '../../../gpu/src/driver/shared-library.ts';
import { loaderOf, machineOf, paperHip } from '../../../gpu/test/driver/paper-machine.ts';
import { createHipGatedRouter } from '../../src/hip/gated-router.ts';
import { publishedConfigs, publishedGates, publishedTileConfigs } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { createHipRouter } from '../../src/hip/router.ts';
import type { HipRouterOptions } from '../../src/hip/router-device.ts';
import { asConfig } from '../router-config.ts';

/** GPUs, with the settings that AMD's runtime names, and the number of the processor that their objects are for (LLVM's ELF.h). */
const GPUS: readonly (readonly [architecture: string, processor: number])[] = [
  ['gfx906:sramecc+:xnack-', 0x2f],
  ['gfx908:sramecc+:xnack-', 0x30],
  ['gfx90a:sramecc+:xnack-', 0x3f],
  ['gfx942:sramecc+:xnack-', 0x4c],
  ['gfx950:sramecc+:xnack-', 0x4f],
  ['gfx1030', 0x36],
  ...['gfx1031', 'gfx1032', 'gfx1033', 'gfx1034', 'gfx1035', 'gfx1036'].map((name) => [name, 0x53] as const),
  ['gfx1100', 0x41],
  ...['gfx1101', 'gfx1102', 'gfx1103'].map((name) => [name, 0x54] as const),
  ...['gfx1150', 'gfx1151', 'gfx1152', 'gfx1153'].map((name) => [name, 0x54] as const),
  ['gfx1200', 0x59],
  ['gfx1201', 0x4e],
  ['gfx1250', 0x49],
];
/** Of generic processors whose objects have tiles and gates, where a GPU has an object of its own for the rest. */
const FAMILIES: Readonly<Record<string, number>> = {
  'gfx942:sramecc+:xnack-': 0x5f,
  'gfx950:sramecc+:xnack-': 0x5f,
  gfx1030: 0x53,
  gfx1100: 0x54,
  gfx1201: 0x59,
};
/** For tiles and gates the quick level looks at some that take them from an object of their own and of their family. */
const isFull = process.env['SWITCHYARD_TEST_LEVEL'] === 'full';
const LOOKED_AT = isFull ? GPUS.map(([architecture]) => architecture) : ['gfx90a:sramecc+:xnack-', 'gfx1100'];
/** On both sides of every T at which kernels differ. */
const TOKENS = [1, 128, 819, 820, 4095, 4096, 16_383, 16_384, 1_000_000];

const HEIGHTS = [16, 32, 64, 128] as const;

interface Machine {
  readonly driver: GpuDriver;
  readonly options: HipRouterOptions;
  /** The processor number of each code object that was loaded. */
  readonly loaded: number[];
  readonly launched: () => number;
}

const RUNTIME = 'libamdhip64.so.6';

/** The runtime with one GPU and nothing to compile with. `status` is what loading an object gives. */
function machineWith(architecture: string, cacheFolder: string, status = 0): Machine {
  const loaded: number[] = [];
  let launches = 0;
  const own: Readonly<Record<string, NativeFunction>> = {
    hipModuleLoadData: (_module: NativeArgument | undefined, image: NativeArgument | undefined) => {
      // e_flags of the ELF header; its low byte is the processor.
      loaded.push(new DataView(viewOf(image as bigint, 64)).getUint32(48, true) & 0xff);
      return status;
    },
    hipModuleLaunchKernel: () => {
      launches += 1;
      return 0;
    },
  };
  const runtime = paperHip([{ name: 'Stand-in', architecture }]);
  const functions = new Proxy(runtime, { get: (target, name) => own[String(name)] ?? target[String(name)] });
  const withoutCompiler = new Proxy(functions, {
    get: (target, name) => (String(name).startsWith('hiprtc') ? undefined : target[String(name)]),
  });
  const loader: LibraryLoader = loaderOf({ [RUNTIME]: withoutCompiler });
  const machine = machineOf();
  const driver = openGpuDriver({ platform: 'amd', loader, machine });
  const compiler = (): ReturnType<typeof openHiprtc> => openHiprtc(loader, { beside: RUNTIME, machine });
  return { driver, loaded, launched: () => launches, options: { driver, compiler, cacheFolder } };
}

describe('without hipRTC', function () {
  this.timeout(120_000);
  let cacheFolder = '';
  before(() => {
    cacheFolder = mkdtempSync(join(tmpdir(), 'bundle-alone-'));
  });
  after(() => rmSync(cacheFolder, { recursive: true }));

  for (const [architecture, processor] of GPUS) {
    it(`every published model routes on ${architecture}, from one object of the bundle`, async () => {
      for (const { models, config } of publishedConfigs()) {
        const { driver, options, loaded, launched } = machineWith(architecture, cacheFolder);
        const router = await createHipRouter(asConfig(config), options);
        assert.deepEqual(loaded, [processor], models);
        let calls = 0;
        for (const tokens of TOKENS) {
          for (const padding of [{}, { paddingMask: 0x3000n }, { rowCount: 0x4000n }]) {
            const buffers = { tokens, logits: 0x1000n, weights: 0x1000n, ids: 0x2000n, ...padding };
            const dispatchPlan = { expertOffsets: 0x5000n, sortedSlots: 0x6000n, workspace: 0x7000n };
            router.enqueue(1n, config.dispatchPlan ? { ...buffers, dispatchPlan } : buffers);
            calls += 1;
          }
        }
        assert.ok(launched() >= calls, `${launched()} launches of ${calls} calls`);
        assert.deepEqual(loaded, [processor], 'enqueue loads nothing');
        await router.dispose();
        driver.dispose();
      }
    });
  }

  for (const [architecture, processor] of GPUS) {
    if (!LOOKED_AT.includes(architecture)) continue;
    const family = FAMILIES[architecture] ?? processor;
    it(`every published model routes with tiles of every height on ${architecture}`, async () => {
      for (const [index, { models, config }] of publishedTileConfigs().entries()) {
        const { driver, options, loaded } = machineWith(architecture, cacheFolder);
        const expertTiles = HEIGHTS[index % HEIGHTS.length] ?? 16;
        const router = await createHipRouter({ ...asConfig(config), expertTiles }, options);
        assert.deepEqual(new Set(loaded), new Set([processor, family]), models);
        assert.ok(loaded.length <= 2, models);
        for (const tokens of TOKENS) {
          const outputs = { expertOffsets: 0x5000n, sortedSlots: 0x6000n, expertTiles: 0x8000n, workspace: 0x7000n };
          const buffers = { tokens, logits: 0x1000n, weights: 0x1000n, ids: 0x2000n };
          for (const padding of [{}, { rowCount: 0x4000n }]) {
            router.enqueue(1n, { ...buffers, ...padding, dispatchPlan: outputs });
          }
        }
        assert.ok(loaded.length <= 2, 'enqueue loads nothing');
        await router.dispose();
        driver.dispose();
      }
    });

    it(`every published model's gated router runs on ${architecture}`, async () => {
      for (const shape of publishedGates()) {
        const { driver, options, loaded, launched } = machineWith(architecture, cacheFolder);
        const { hiddenSize, router } = shape;
        const gate = `${router.experts} experts, H = ${hiddenSize}`;
        const { logitsDtype: _, ...config } = asConfig(router);
        const gateWeight = new Uint16Array(router.experts * hiddenSize);
        const gated = await createHipGatedRouter({ ...config, hiddenSize, gateWeight }, options);
        assert.deepEqual(new Set(loaded), new Set([processor, family]), gate);
        assert.ok(loaded.length <= 3, gate);
        let calls = 0;
        for (const tokens of [1, 2, 3, 4, 5, ...TOKENS]) {
          for (const padding of [{}, { paddingMask: 0x3000n }]) {
            const buffers = { tokens, hidden: 0x1000n, logits: 0x9000n, weights: 0x1000n, ids: 0x2000n };
            const plan = { expertOffsets: 0x5000n, sortedSlots: 0x6000n, expertTiles: 0x8000n };
            gated.enqueue(1n, {
              ...buffers,
              ...padding,
              workspace: 0x7000n,
              ...(router.dispatchPlan ? { dispatchPlan: plan } : {}),
            });
            calls += 1;
          }
        }
        assert.ok(launched() >= calls, `${launched()} launches of ${calls} calls`);
        assert.ok(loaded.length <= 3, 'enqueue loads nothing');
        await gated.dispose();
        driver.dispose();
      }
    });
  }

  it('a GPU that the bundle does not cover is told what is missing, and what to do', async () => {
    const { driver, options } = machineWith('gfx1010', cacheFolder);
    await assert.rejects(createHipRouter({ experts: 128, topK: 4 }, options), (error) => {
      assert.ok(error instanceof GpuLibraryNotFoundError);
      assert.match(error.message, /No kernel topk_gating_softmax_e128_k4_\w+ for gfx1010/);
      assert.match(
        error.message,
        /not among those compiled ahead of time, and hipRTC to compile it could not be loaded/,
      );
      assert.match(error.message, /install hipRTC .*, or use .* compiled ahead of time, or backend "cpu"/);
      return true;
    });
    driver.dispose();
  });

  it('so is a shape that it does not cover', async () => {
    const { driver, options } = machineWith('gfx942', cacheFolder);
    await assert.rejects(
      createHipRouter({ experts: 100, topK: 5 }, options),
      /No kernel \w+_e100_k5_\w+ for gfx942: it/,
    );
    driver.dispose();
  });

  it('so is a runtime that does not take the object, which is asked once', async () => {
    const { driver, options, loaded } = machineWith('gfx1102', cacheFolder, 209);
    await assert.rejects(
      createHipRouter({ experts: 128, topK: 4 }, options),
      /for gfx1102: the one compiled ahead of time does not load \(hipModuleLoadData failed .*209.*\), and hipRTC/,
    );
    assert.equal(loaded.length, 1);
    driver.dispose();
  });

  it('gfx803 is refused in plain words', () => {
    assert.throws(
      () => machineWith('gfx803', cacheFolder),
      (error) => error instanceof UnsupportedArchitectureError && error.message.startsWith('gfx803 is not supported'),
    );
  });
});
