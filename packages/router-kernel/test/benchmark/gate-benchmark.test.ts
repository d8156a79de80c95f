import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompileCache, UncheckedBenchmarkError } from '@switchyard/gpu';
import type { GpuDriver } from '@switchyard/gpu';
import { emulatedGpu } from '@switchyard/gpu/testing';
import type { EmulatedGpu } from '@switchyard/gpu/testing';
import { formProblems } from '../../../gpu/test/benchmark/report-form.ts';
import { skipWithoutHostCompiler } from '../../../gpu/test/testing/skip-without.ts';
import { runGateBenchmark } from '../../src/benchmark/hip/gate-benchmark.ts';
import type { GateBenchmarkOptions } from '../../src/benchmark/hip/gate-benchmark.ts';
import { openRouterLibrary } from '../../src/hip/router-library.ts';

describe('the gate benchmark', function () {
  this.timeout(300_000);
  let gpu: EmulatedGpu;
  let folder: string;

  before(function () {
    skipWithoutHostCompiler.call(this);
    gpu = emulatedGpu({ target: { vendor: 'amd', architecture: 'gfx942', waveSize: 64 } });
    folder = mkdtempSync(join(tmpdir(), 'gate-benchmark-'));
  });
  after(() => {
    gpu?.dispose();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  /** The emulated device with a clock: 3 ms from one event to the next. */
  const timed = (): GpuDriver => ({
    ...gpu.driver,
    createEvent: () => ({ ...gpu.driver.createEvent(), elapsedSince: () => 3 }),
  });
  const options = (driver: GpuDriver): GateBenchmarkOptions => ({
    shapes: [{ experts: 8, topK: 2, hiddenSize: 16 }],
    tokens: [3],
    measure: { launches: 2, replays: 5 },
    library: openRouterLibrary(driver, { compiler: gpu.compiler, cache: new CompileCache({ folder }) }),
  });

  it('gives a report in the documented form, of one launch and of separate ones, with and without a plan', async () => {
    const driver = timed();
    const report = await runGateBenchmark(driver, options(driver));
    assert.deepEqual(formProblems(JSON.parse(JSON.stringify(report))), []);
    assert.deepEqual(report.failures, []);
    assert.deepEqual(
      report.series.map(({ contender, median, count, parameters }) => [contender, median, count, parameters['tokens']]),
      ['fused', 'apart', 'fused_plan', 'apart_plan'].map((contender) => [contender, 1500, 5, 3]),
    );
    assert.equal(gpu.allocatedBytes, 0);
  });

  it('times nobody whose answers are wrong', async () => {
    const { driver } = gpu;
    // What comes from the device is spoilt in its first byte.
    const spoilt: GpuDriver = {
      ...timed(),
      copyToHost: (to, from, bytes, stream) => {
        driver.copyToHost(to, from, bytes, stream);
        driver.fill(to, 0x7f, 1, stream);
      },
    };
    await assert.rejects(runGateBenchmark(spoilt, options(spoilt)), UncheckedBenchmarkError);
    assert.equal(gpu.allocatedBytes, 0);
  });
});
