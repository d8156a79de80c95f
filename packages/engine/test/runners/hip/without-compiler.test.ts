/**
 * The GPU runner on AMD GPUs without hipRTC: a stand-in for a device, which loads shipped objects of its own processor only,
 * computes nothing, and has no memory.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GpuLibraryNotFoundError, waveSizeOf } from '@switchyard/gpu';
import type { GpuDriver, KernelCompiler } from '@switchyard/gpu';
import { emulatedGpu } from '@switchyard/gpu/testing';
import { openSnapshot } from '@switchyard/models';
import type { Snapshot } from '@switchyard/models';
import { publishedConfig } from '@switchyard/models/testing';
import { createHipRunner, createSyntheticHipRunner } from '../../../src/runners/hip/index.ts';
import type { LogitsRunner } from '../../../src/runners/logits-runner.ts';
import { SMALL_CONFIG } from './small-model.ts';

/** GPUs, and the numbers of the processors that their objects are for (LLVM's ELF.h): the router's, and the runner's. */
const GPUS: readonly (readonly [architecture: string, processors: readonly number[]])[] = [
  ['gfx90a', [0x3f]],
  ['gfx942', [0x4c]],
  ['gfx950', [0x4f]],
  ['gfx1030', [0x36, 0x53]],
  ['gfx1100', [0x41, 0x54]],
  ['gfx1151', [0x54]],
  ['gfx1200', [0x59]],
  ['gfx1201', [0x4e, 0x59]],
];
/** The quick level looks at one of each wave size. */
const isFull = process.env['SWITCHYARD_TEST_LEVEL'] === 'full';
const LOOKED_AT = isFull ? GPUS.map(([architecture]) => architecture) : ['gfx942', 'gfx1151'];
const BYTES = 2 ** 40;
const KV_BYTES = 2 ** 24;

function standIn(architecture: string) {
  const gpu = emulatedGpu({ target: { vendor: 'amd', architecture, waveSize: waveSizeOf(architecture) } });
  const processors = new Set<number>();
  let [address, launches] = [2n ** 40n, 0];
  const driver: GpuDriver = {
    ...gpu.driver,
    memory: () => ({ free: BYTES, total: BYTES }),
    allocate: (bytes) => {
      const pointer = address;
      address += BigInt(Math.ceil(bytes / 256) * 256);
      return { pointer, bytes, free() {} };
    },
    copyToDevice() {},
    copyToHost() {},
    copyOnDevice() {},
    fill() {},
    loadModule: (image) => {
      // e_flags of the ELF header; its low byte is the processor.
      processors.add(new DataView(image.buffer, image.byteOffset).getUint32(48, true) & 0xff);
      const unknown = (): never => {
        throw new RangeError('nothing is known of these kernels');
      };
      return {
        kernel: (name) => ({ name, handle: 1n, resources: unknown, blocksPerMultiprocessor: unknown }),
        unload() {},
      };
    },
    prepareLaunch: (_, { argumentBytes }) => ({
      arguments: new DataView(new ArrayBuffer(argumentBytes)),
      grid: { x: 1, y: 1, z: 1 },
      overlapsKernelBefore: false,
      launch: () => void (launches += 1),
    }),
  };
  const compiler = (): KernelCompiler => {
    throw new GpuLibraryNotFoundError('hipRTC', ['libhiprtc.so (no such file)'], 'install it');
  };
  return { gpu, driver, compiler, processors, launched: () => launches };
}

/** Steps of every kind: prompts, and decoding of some sequences. */
async function runSteps(runner: LogitsRunner): Promise<void> {
  const sequences = Array.from({ length: 9 }, () => runner.createSequence());
  for (const sequence of sequences) {
    await runner.forward([{ sequence, tokens: new Int32Array(sequence % 2 === 0 ? 40 : 3), logits: 'none' }]);
  }
  for (const count of [1, 2, 4, 5, 9]) {
    const tokens = Int32Array.of(0);
    await runner.forward(sequences.slice(0, count).map((sequence) => ({ sequence, tokens, logits: 'last' as const })));
  }
}

describe('the GPU runner without hipRTC', function () {
  this.timeout(120_000);
  let snapshot: Snapshot;
  let cacheFolder = '';
  before(async () => {
    snapshot = await openSnapshot();
    cacheFolder = mkdtempSync(join(tmpdir(), 'without-compiler-'));
  });
  after(() => {
    snapshot?.dispose();
    if (cacheFolder !== '') rmSync(cacheFolder, { recursive: true, force: true });
  });

  for (const [architecture, expected] of GPUS) {
    if (!LOOKED_AT.includes(architecture)) continue;
    it(`loads and runs the embedded and the published models on ${architecture}`, async () => {
      const synthetic = (['gpt-oss-20b', 'gpt-oss-120b'] as const).map((name) => publishedConfig(name));
      for (const config of [null, ...synthetic]) {
        const { gpu, driver, compiler, processors, launched } = standIn(architecture);
        const options = { kvCacheBytes: KV_BYTES, driver, compiler, cacheFolder, graphs: false };
        const runner =
          config === null
            ? await createHipRunner({ snapshot, ...options })
            : await createSyntheticHipRunner({ config, ...options });
        await runSteps(runner);
        assert.ok(launched() > 100);
        assert.deepEqual(processors, new Set(expected));
        await runner.dispose();
        gpu.dispose();
      }
    });
  }

  it('says which kernel is neither shipped nor compiled, and what to do', async () => {
    for (const [architecture, config] of [
      ['gfx942', SMALL_CONFIG],
      ['gfx1010', publishedConfig('gpt-oss-20b')],
    ] as const) {
      const { gpu, driver, compiler } = standIn(architecture);
      const options = { config, kvCacheBytes: KV_BYTES, driver, compiler, cacheFolder };
      await assert.rejects(createSyntheticHipRunner(options), (error) => {
        assert.ok(error instanceof GpuLibraryNotFoundError);
        assert.match(error.message, new RegExp(`^No kernel embed for ${architecture}: it is not among those compiled`));
        assert.match(error.message, /ahead of time, and hipRTC to compile it could not be loaded .* · install hipRTC/);
        return true;
      });
      gpu.dispose();
    }
  });
});
