/**
 * How fast a device reads its memory: what a decode step is measured by, since it reads all weights that it needs once.
 */

import { CompileCache, loadLaunch, targetOf } from '@switchyard/gpu';
import type { GpuDriver } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import { readMemoryForm } from './read-kernel.ts';
import { openRunnerLibrary } from './runner-library.ts';

/** More than any cache holds, and as much as a step of gpt-oss-20b reads. */
const BYTES = 2 ** 31;
/** Blocks of a launch for each multiprocessor. */
const BLOCKS_EACH = 8;
const REPEATS = 20;

/** Bytes a second, by the device's clock: of 20 readings of 2 GiB the one in the middle. */
export async function measureReadBandwidth(driver: GpuDriver, config: GptOssConfig): Promise<number> {
  const owned: (() => void)[] = [];
  try {
    const stream = driver.createStream();
    owned.unshift(() => stream.destroy());
    const library = openRunnerLibrary(driver, { cache: new CompileCache() });
    owned.unshift(() => library.dispose());
    const read = await loadLaunch(driver, library, readMemoryForm({ config, target: targetOf(driver), kv: 'f32' }));
    const memory = driver.allocate(BYTES);
    owned.unshift(() => memory.free());
    const found = driver.allocate(16);
    owned.unshift(() => found.free());
    const [begun, ended] = [driver.createEvent(), driver.createEvent()];
    owned.unshift(
      () => begun.destroy(),
      () => ended.destroy(),
    );
    driver.fill(memory.pointer, 0x5a, BYTES, stream);
    const blocks = BLOCKS_EACH * driver.info.multiprocessors;
    const milliseconds: number[] = [];
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      begun.record(stream);
      read.launch(stream, blocks, { memory: memory.pointer, found: found.pointer, pieces: BYTES / 16, blocks });
      ended.record(stream);
      await stream.synchronize();
      milliseconds.push(ended.elapsedSince(begun));
    }
    milliseconds.sort((a, b) => a - b);
    return (1000 * BYTES) / (milliseconds[REPEATS / 2] ?? Number.NaN);
  } finally {
    for (const release of owned) release();
  }
}
