/** The driver on a real GPU, where there is one. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { DevicePointer, GpuDriver, GpuStream } from '../../src/driver/gpu-driver.ts';
import { openGpuDriver } from '../../src/driver/open-driver.ts';
import { downloadBytes, uploadBytes } from '../../src/driver/transfers.ts';
import { BackendUnavailableError } from '../../src/errors.ts';
import { CompileCache } from '../../src/kernels/compile-cache.ts';
import { joinParts, sharedPart } from '../../src/kernels/kernel-parts.ts';
import { KernelLibrary } from '../../src/kernels/kernel-library.ts';
import { loadLaunch } from '../../src/kernels/launcher.ts';
import { THREE_AXES_SOURCE } from './three-axes-source.ts';

const THREADS = 64;
const GRID = [3, 2, 5] as const;
const BLOCKS = GRID[0] * GRID[1] * GRID[2];
const ARGUMENTS = [
  { name: 'addend', type: 'pointer', doc: 'u32 [1].' },
  { name: 'out', type: 'pointer', doc: 'u32 [blocks, THREADS], written.' },
  { name: 'sharedWords', type: 'u32', doc: 'Words of dynamic shared memory.' },
] as const;

describe('the driver on a GPU', function () {
  this.timeout(60_000);
  let driver: GpuDriver;
  let stream: GpuStream;
  let library: KernelLibrary;
  let folder = '';

  before(async function () {
    try {
      driver = openGpuDriver();
    } catch (error) {
      if (!(error instanceof BackendUnavailableError)) throw error;
      console.log(`      skipped: ${error.message}`);
      this.skip();
    }
    folder = await mkdtemp(path.join(tmpdir(), 'driver-device-'));
    library = new KernelLibrary(driver, { cache: new CompileCache({ folder }) });
    stream = driver.createStream();
  });
  after(async () => {
    library?.dispose();
    stream?.destroy();
    driver?.dispose();
    if (folder !== '') await rm(folder, { recursive: true });
  });

  /** Shared memory that NVIDIA gives only where it was asked for. */
  const sharedBytes = (): number => Math.min(64 * 1024, driver.info.sharedBytesPerBlock);

  const load = () =>
    loadLaunch(driver, library, {
      unit: {
        name: 'three_axes',
        source: () => joinParts([sharedPart('platform')]) + THREE_AXES_SOURCE,
        defines: { ROUTER_WAVE_SIZE: driver.info.waveSize, THREADS },
      },
      symbol: 'three_axes',
      arguments: ARGUMENTS,
      threadsPerBlock: THREADS,
      sharedBytes: sharedBytes(),
    });

  /** What the kernel writes: the block's position, the thread, and what was added. */
  function expected(addend: number): Uint32Array {
    const out = new Uint32Array(BLOCKS * THREADS);
    for (let z = 0, at = 0; z < GRID[2]; z += 1) {
      for (let y = 0; y < GRID[1]; y += 1) {
        for (let x = 0; x < GRID[0]; x += 1) {
          for (let thread = 0; thread < THREADS; thread += 1, at += 1) {
            out[at] = addend + thread + 1000 * x + 10_000 * y + 100_000 * z;
          }
        }
      }
    }
    return out;
  }

  const values = (addend: DevicePointer, out: DevicePointer) => ({ addend, out, sharedWords: sharedBytes() / 4 });

  it('launches three axes with dynamic shared memory, into mapped memory, from registered memory', async () => {
    const launch = await load();
    const out = driver.allocatePinned(BLOCKS * THREADS * 4, { mapped: true });
    const addend = driver.registerHost(new Uint8Array(4096));
    try {
      new DataView(addend.memory.buffer).setUint32(0, 7, true);
      launch.launch(stream, GRID, values(addend.devicePointer, out.devicePointer ?? 0n));
      await stream.synchronize();
      assert.deepEqual(new Uint32Array(out.memory, 0, BLOCKS * THREADS), expected(7));
    } finally {
      addend.unregister();
      out.free();
    }
  });

  it('replays an uploaded graph, and lets a stream wait for an event of another', async () => {
    const launch = await load();
    const [addend, out] = [driver.allocate(4), driver.allocate(BLOCKS * THREADS * 4)];
    const loading = driver.createStream();
    const loaded = driver.createEvent({ timing: false });
    const graph = driver.capture(stream, () => launch.launch(stream, GRID, values(addend.pointer, out.pointer)));
    try {
      graph.upload(stream);
      for (const value of [5, 6]) {
        await uploadBytes(driver, loading, addend.pointer, new Uint8Array(Uint32Array.of(value).buffer));
        loaded.record(loading);
        stream.wait(loaded);
        graph.launch(stream);
        const found = new Uint32Array(await downloadBytes(driver, stream, out.pointer, out.bytes));
        assert.deepEqual(found, expected(value));
        assert.ok(loaded.hasPassed());
      }
    } finally {
      graph.destroy();
      loaded.destroy();
      loading.destroy();
      out.free();
      addend.free();
    }
  });

  it('says how many blocks fit: no more with more shared memory', async () => {
    const kernel = await library.load(
      {
        name: 'three_axes',
        source: () => joinParts([sharedPart('platform')]) + THREE_AXES_SOURCE,
        defines: { ROUTER_WAVE_SIZE: driver.info.waveSize, THREADS },
      },
      'three_axes',
    );
    const [few, many] = [kernel.blocksPerMultiprocessor(THREADS, 32 * 1024), kernel.blocksPerMultiprocessor(THREADS)];
    assert.ok(few >= 1 && many > few, `${few} and ${many} blocks`);
  });

  it('may be opened twice, each call on its own', async () => {
    using other = openGpuDriver({ device: `${driver.platform}:${driver.info.index}` });
    const there = other.createStream();
    const [here, away] = [driver.allocate(64), other.allocate(64)];
    driver.fill(here.pointer, 1, 64, stream);
    other.fill(away.pointer, 2, 64, there);
    const [first, second] = [
      new Uint8Array(await downloadBytes(driver, stream, here.pointer, 64)),
      new Uint8Array(await downloadBytes(other, there, away.pointer, 64)),
    ];
    assert.deepEqual([new Set(first), new Set(second)], [new Set([1]), new Set([2])]);
    here.free();
    away.free();
    there.destroy();
  });
});
