/** `router-kernel verify`: the contract suite on a chosen device. */

import type { Router, RouterConfig } from '../contract.ts';
import { createRouter } from '../create-router.ts';
import { contractCases, runContractSuite, SUITE_LEVELS } from '../suite/index.ts';
import { defineCommand, UsageError } from './command.ts';
import type { CliIo } from './command.ts';

export const verifyCommand = defineCommand({
  summary: 'Compare a backend with the reference on the contract suite; exit code 1 on any mismatch.',
  options: {
    backend: { type: 'string', choices: ['cpu', 'hip', 'webgpu'], required: true, description: 'What to verify.' },
    level: { type: 'string', choices: SUITE_LEVELS, default: 'quick', description: 'How much to run.' },
    software: { type: 'boolean', description: 'With --backend webgpu: run on SwiftShader, a software Vulkan driver.' },
    json: { type: 'boolean', description: 'Print one JSON object.' },
  },
  run: async (values, io) => {
    const { backend, level, software, json } = values;
    if (software && backend !== 'webgpu') {
      throw new UsageError(`--software needs --backend webgpu; found --backend ${backend}.`);
    }
    const cases = contractCases(level);
    if (!json) io.out(`Checking ${cases.length} configurations on ${backend}.\n`);
    let device = '';
    const startedAt = performance.now();
    const result = await runContractSuite(
      async (config) => {
        const router = software ? await createSoftwareRouter(config) : await createRouter({ ...config, backend });
        device = router.device;
        return router;
      },
      { cases, signal: io.signal, onCase: (done) => reportCase(done, json, io) },
    );
    const seconds = (performance.now() - startedAt) / 1000;
    const passed = result.failures.length === 0;
    if (json) {
      io.out(`${JSON.stringify({ backend, device, level, passed, seconds, ...result })}\n`);
    } else {
      io.out(
        `${backend} on ${device || 'no device'}: ${passed ? 'passed' : 'FAILED'}. ${result.rows} rows of ${result.cases} configurations checked in ${seconds.toFixed(1)} s; ${result.mismatchedIds} ids and ${result.mismatchedWeights} weights differ; the largest weight error is ${(100 * result.worstWeightError).toFixed(1)} % of what the contract allows.\n`,
      );
    }
    return passed ? 0 : 1;
  },
});

async function createSoftwareRouter(config: RouterConfig): Promise<Router> {
  const { createWebGpuRouter } = await import('../webgpu/index.ts');
  return createWebGpuRouter(config, { software: true });
}

function reportCase(
  done: { readonly case: { readonly section: string; readonly name: string }; readonly problems: readonly string[] },
  json: boolean,
  io: CliIo,
): void {
  if (json || done.problems.length === 0) return;
  io.out(`mismatch in ${done.case.section}: ${done.case.name}\n`);
  for (const problem of done.problems) io.out(`  ${problem}\n`);
}
