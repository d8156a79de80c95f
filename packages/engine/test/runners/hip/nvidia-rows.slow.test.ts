import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emulatedGpu } from '@switchyard/gpu/testing';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { createSyntheticHipRunner } from '../../../src/runners/hip/index.ts';
import { NVIDIA_TARGET } from './emulated-runner.ts';
import { SMALL_CONFIG } from './small-model.ts';

describe('the GPU runner as NVIDIA has it, emulated', function () {
  this.timeout(1_200_000);
  before(skipWithoutHostCompiler);

  it('computes a row with the same bits alone and in company, whichever kernels that many rows take', async () => {
    const cacheFolder = mkdtempSync(join(tmpdir(), 'switchyard-emulated-'));
    const gpu = emulatedGpu({ target: NVIDIA_TARGET });
    try {
      const { driver, compiler } = gpu;
      await using runner = await createSyntheticHipRunner({
        config: SMALL_CONFIG,
        kvCacheBytes: 32 * 2 ** 20,
        driver,
        compiler,
        cacheFolder,
      });
      const stepOf = (seed: number) => ({
        sequence: runner.createSequence(),
        tokens: Int32Array.of((seed * 101) % SMALL_CONFIG.vocabularySize),
      });
      const [alone] = await runner.forward([stepOf(3)]);
      // Experts are listed from some rows on, and rows left in two terms from 17 on, in tiles of two sizes.
      for (const others of [1, 6, 20, 40]) {
        const company = Array.from({ length: others }, (_, index) => stepOf(index + 5));
        const outputs = await runner.forward([...company, stepOf(3)]);
        assert.deepEqual(outputs.at(-1)?.logits, alone?.logits, `beside ${others} others`);
      }
    } finally {
      gpu.dispose();
      rmSync(cacheFolder, { recursive: true, force: true });
    }
  });
});
