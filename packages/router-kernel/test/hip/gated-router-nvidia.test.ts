/** The forms of the HIP gated router that NVIDIA's GPUs run, with their rehearsals, on an emulated GPU. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emulatedGpu } from '@switchyard/gpu/testing';
import type { EmulatedGpu } from '@switchyard/gpu/testing';
import { skipWithoutHostCompiler } from '../../../gpu/test/testing/skip-without.ts';
import { createCheckedHipGatedRouter } from '../../src/hip/device-checks.ts';
import { createHipGatedRouter } from '../../src/hip/gated-router.ts';
import { gateCases, runGateSuite } from '../../src/suite/index.ts';
import { withWaveReductions } from './emulated-router.ts';

/** Most of the time goes into compiling each configuration's kernels: the quick level takes every third one. */
const IS_FULL = process.env['SWITCHYARD_TEST_LEVEL'] === 'full';
const CASES = gateCases('smoke').filter((_, index) => IS_FULL || index % 3 === 0);
const LAYOUT = gateCases('smoke').filter(({ section }) => section === 'gate layout');

/** A kernel's text as for a GPU that reduces over waves and whose launches overlap. */
function asOnNvidia(text: string): string {
  return withWaveReductions(text).replace(
    'constexpr bool kMayBeginEarly = false;',
    'constexpr bool kMayBeginEarly = true;',
  );
}

describe("HIP gated router, NVIDIA's forms emulated", function () {
  this.timeout(600_000);
  let gpu: EmulatedGpu;
  let options: Parameters<typeof createHipGatedRouter>[1];
  let cacheFolder: string;

  before(function () {
    skipWithoutHostCompiler.call(this);
    // An AMD GPU's text in the shapes of an NVIDIA GPU's launches.
    gpu = emulatedGpu({ target: { vendor: 'nvidia', architecture: 'gfx1100', waveSize: 32 } });
    cacheFolder = mkdtempSync(join(tmpdir(), 'gated-router-nvidia-'));
    const { driver, compiler } = gpu;
    const compile: typeof compiler.compile = (request) =>
      compiler.compile({ ...request, source: asOnNvidia(request.source) });
    options = { driver, compiler: { ...compiler, compile }, cacheFolder, prepare: 'none' };
  });
  after(() => {
    gpu?.dispose();
    if (cacheFolder !== undefined) rmSync(cacheFolder, { recursive: true, force: true });
  });

  it('passes the gate suite', async () => {
    const result = await runGateSuite((config) => createHipGatedRouter(config, options), { cases: CASES });
    assert.deepEqual(result.failures, []);
    assert.ok(result.rows > 80, `only ${result.rows} rows were compared`);
    assert.equal(gpu.allocatedBytes, 0);
  });

  it('leaves words and arrivals as it finds them, launched eagerly and from graphs, with guarded outputs', async () => {
    const result = await runGateSuite((config) => createCheckedHipGatedRouter(config, gpu.driver, options), {
      cases: LAYOUT,
    });
    assert.deepEqual(result.failures, []);
    assert.ok(result.rows > 80, `only ${result.rows} rows were compared`);
  });
});
