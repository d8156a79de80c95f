/** `router-kernel verify`: the contract suite on a chosen device. */

import type { Router, RouterConfig } from '../contract.ts';
import { createGatedRouter } from '../create-gated-router.ts';
import { createRouter } from '../create-router.ts';
import type { GatedRouter, GatedRouterConfig } from '../gate/gate-contract.ts';
import type { LargeOffsetCheck } from '../hip/device-checks.ts';
import { contractCases, gateCases, runContractSuite, runGateSuite, SUITE_LEVELS } from '../suite/index.ts';
import type { GateSuiteResult } from '../suite/index.ts';
import type { WebGpuRouterOptions } from '../webgpu/index.ts';
import { defineCommand, UsageError } from './command.ts';
import type { CliIo } from './command.ts';

export const verifyCommand = defineCommand({
  summary: 'Compare a backend with the reference on the contract suite; exit code 1 on any mismatch.',
  options: {
    backend: { type: 'string', choices: ['cpu', 'hip', 'webgpu'], required: true, description: 'What to verify.' },
    level: { type: 'string', choices: SUITE_LEVELS, default: 'quick', description: 'How much to run.' },
    device: {
      type: 'string',
      placeholder: 'GPU',
      description: 'With --backend hip: 1, amd:0, gfx942, a part of a name; see router-kernel devices.',
    },
    software: { type: 'boolean', description: 'With --backend webgpu: run on SwiftShader, a software Vulkan driver.' },
    path: {
      type: 'string',
      choices: ['auto', 'subgroups', 'workgroup'],
      default: 'auto',
      description: 'With --backend webgpu: how the lanes of a token exchange keys.',
    },
    shard: { type: 'string', default: '1/1', placeholder: 'I/N', description: 'Run every Nth case, from the Ith on.' },
    json: { type: 'boolean', description: 'Print one JSON object.' },
  },
  run: async (values, io) => {
    const { backend, level, software, path, json } = values;
    if (software && backend !== 'webgpu') {
      throw new UsageError(`--software needs --backend webgpu · found --backend ${backend} · leave one of them out`);
    }
    if (values.device !== undefined && backend !== 'hip') {
      throw new UsageError(`--device needs --backend hip · found --backend ${backend} · leave one of them out`);
    }
    if (path !== 'auto' && backend !== 'webgpu') {
      throw new UsageError(`--path needs --backend webgpu · found --backend ${backend} · leave one of them out`);
    }
    const [shard, shards] = shardOf(values.shard);
    const cases = contractCases(level).filter((_, index) => index % shards === shard - 1);
    // Routers share a device while one of them lives: without this one each configuration would make its own.
    await using deviceKeeper =
      backend === 'webgpu' ? await createNamedWebGpuRouter({ experts: 1, topK: 1 }, { software, path }) : null;
    using device = backend === 'hip' ? await openHipDevice(values.device) : null;
    if (!json) io.out(`Checking ${cases.length} configurations on ${backend}.\n`);
    let deviceName = deviceKeeper?.device ?? '';
    const startedAt = performance.now();
    const result = await runContractSuite(
      async (config) => {
        const router = await (device !== null
          ? device.createRouter(config)
          : backend === 'webgpu'
            ? createNamedWebGpuRouter(config, { software, path })
            : createRouter({ ...config, backend }));
        deviceName = router.device;
        return router;
      },
      { cases, signal: io.signal, onCase: (done) => reportCase(done, json, io) },
    );
    const gate = await runGateSuite(
      (config) => {
        if (device !== null) return device.createGatedRouter(config);
        if (backend === 'webgpu') return createNamedWebGpuGatedRouter(config, { software, path });
        return createGatedRouter({ ...config, backend });
      },
      { cases: gateCases(level).filter((_, index) => index % shards === shard - 1), signal: io.signal },
    );
    if (!json) for (const failure of gate.failures) reportFailure(failure, io);
    const largeOffsets = device !== null && level === 'full' && shard === 1 ? await device.checkLargeOffsets() : null;
    const seconds = (performance.now() - startedAt) / 1000;
    const passed =
      result.failures.length + gate.failures.length === 0 &&
      (largeOffsets === null || largeOffsets.problems.length === 0);
    if (json) {
      const report = {
        backend,
        device: deviceName,
        ...(backend === 'webgpu' && { path }),
        level,
        shard: values.shard,
        passed,
        seconds,
        ...result,
        gate,
      };
      io.out(`${JSON.stringify(largeOffsets === null ? report : { ...report, largeOffsets })}\n`);
    } else {
      if (largeOffsets !== null) io.out(describeLargeOffsets(largeOffsets));
      io.out(
        `${backend} on ${deviceName || 'no device'}: ${passed ? 'passed' : 'FAILED'}. ${result.rows} rows of ${result.cases} configurations checked in ${seconds.toFixed(1)} s; ${result.mismatchedIds} ids and ${result.mismatchedWeights} weights differ; the largest weight error is ${(100 * result.worstWeightError).toFixed(1)} % of what the contract allows.\n${describeGate(gate)}`,
      );
    }
    return passed ? 0 : 1;
  },
});

function describeGate(gate: GateSuiteResult): string {
  const { rows, cases, mismatchedLogits, mismatchedIds, mismatchedWeights, worstLogitError } = gate;
  return `gated router: ${rows} rows of ${cases} configurations; ${mismatchedLogits} logits, ${mismatchedIds} ids and ${mismatchedWeights} weights differ; the largest logit error is ${(100 * worstLogitError).toFixed(1)} % of its rounding.\n`;
}

/** A GPU whose routers also compare eager launches with graph replay, and watch the bytes around each output. */
async function openHipDevice(device: string | undefined): Promise<
  Disposable & {
    createRouter(config: RouterConfig): Promise<Router>;
    createGatedRouter(config: GatedRouterConfig): Promise<GatedRouter>;
    checkLargeOffsets(): Promise<LargeOffsetCheck>;
  }
> {
  const { openGpuDriver } = await import('@switchyard/gpu');
  const { checkLargeOffsets, createCheckedHipGatedRouter, createCheckedHipRouter } = await import(
    '../hip/device-checks.ts'
  );
  const driver = openGpuDriver(device === undefined ? {} : { device });
  return {
    createRouter: (config) => createCheckedHipRouter(config, driver),
    createGatedRouter: (config) => createCheckedHipGatedRouter(config, driver),
    checkLargeOffsets: () => checkLargeOffsets(driver),
    [Symbol.dispose]: () => driver.dispose(),
  };
}

function describeLargeOffsets({ rows, elements, problems }: LargeOffsetCheck): string {
  if (rows === 0) return `offsets past 2^31 elements: not checked, too little free memory for ${elements} logits\n`;
  if (problems.length === 0) return `offsets past 2^31 elements: ${rows} rows of ${elements} logits agree\n`;
  return problems.map((problem) => `mismatch past 2^31 elements: ${problem}\n`).join('');
}

/** @throws UsageError */
function shardOf(text: string): readonly [shard: number, shards: number] {
  const [shard, shards, ...rest] = text.split('/').map(Number);
  const fits = shard !== undefined && shards !== undefined && rest.length === 0 && 1 <= shard && shard <= shards;
  if (!fits || !Number.isInteger(shard) || !Number.isInteger(shards)) {
    throw new UsageError(`--shard must be I/N with 1 <= I <= N · found '${text}' · leave it out for all cases`);
  }
  return [shard, shards];
}

async function createNamedWebGpuRouter(config: RouterConfig, options: WebGpuRouterOptions): Promise<Router> {
  const { createWebGpuRouter } = await import('../webgpu/index.ts');
  return createWebGpuRouter(config, options);
}

async function createNamedWebGpuGatedRouter(
  config: GatedRouterConfig,
  options: WebGpuRouterOptions,
): Promise<GatedRouter> {
  const { createWebGpuGatedRouter } = await import('../webgpu/index.ts');
  return createWebGpuGatedRouter(config, options);
}

function reportCase(
  done: { readonly case: { readonly section: string; readonly name: string }; readonly problems: readonly string[] },
  json: boolean,
  io: CliIo,
): void {
  if (json || done.problems.length === 0) return;
  reportFailure({ ...done.case, problems: done.problems }, io);
}

function reportFailure(
  {
    section,
    name,
    problems,
  }: { readonly section: string; readonly name: string; readonly problems: readonly string[] },
  io: CliIo,
): void {
  io.out(`mismatch in ${section}: ${name}\n`);
  for (const problem of problems) io.out(`  ${problem}\n`);
}
