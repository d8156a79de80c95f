/** What the benchmark times: this package's kernel, the baselines after published ones, and an empty kernel. */

import { loadLaunch } from '@switchyard/gpu';
import type { GpuDriver, KernelLibrary } from '@switchyard/gpu';
import { DeviceRoute } from '../../hip/device-route.ts';
import { kernelUnit } from '../../hip/kernel/source.ts';
import type { BenchmarkShape } from '../logits.ts';
import { configOf } from '../routing-check.ts';
import { flashInferContender } from './flashinfer.ts';
import { planApartContender } from './plan-apart.ts';
import { BASELINE_ARGUMENTS, type Baseline, baselineKernel } from './baselines.ts';
import { CONTENDERS } from './contender.ts';
import type { Contender, ContenderName } from './contender.ts';

/**
 * The contenders that take a shape, in their order.
 *
 * @param names those that are wanted. Defaults to all
 */
export async function contendersFor(
  shape: BenchmarkShape,
  driver: GpuDriver,
  library: KernelLibrary,
  names: readonly ContenderName[] = CONTENDERS,
): Promise<readonly Contender[]> {
  const contenders: Contender[] = [];
  for (const name of CONTENDERS.filter((one) => names.includes(one))) {
    const contender = await contenderOf(name, shape, driver, library);
    if (contender !== null) contenders.push(contender);
  }
  return contenders;
}

async function contenderOf(
  name: ContenderName,
  shape: BenchmarkShape,
  driver: GpuDriver,
  library: KernelLibrary,
): Promise<Contender | null> {
  switch (name) {
    case 'switchyard':
    case 'switchyard_ordinary':
    case 'switchyard_plan':
      return ownContender(name, shape, driver, library);
    case 'plan_apart':
      return planApartContender(await ownContender('switchyard', shape, driver, library), shape, driver, library);
    case 'flashinfer':
      return flashInferContender(shape, driver, library);
    default:
      return baselineContender(name, shape, driver, library);
  }
}

/** This package's kernels. */
export async function ownContender(
  name: 'switchyard' | 'switchyard_ordinary' | 'switchyard_plan',
  shape: BenchmarkShape,
  driver: GpuDriver,
  library: KernelLibrary,
): Promise<Contender> {
  const config = { ...configOf(shape), dispatchPlan: name === 'switchyard_plan' };
  const route = await DeviceRoute.create(driver, library, config, 0n, name !== 'switchyard_ordinary');
  return {
    name,
    ...(config.dispatchPlan && { planWorkspaceBytes: (tokens: number) => route.planWorkspaceBytes(tokens) }),
    prepare: async (tokens) => {
      await route.prepare({ tokens });
      const form = route.describe({ tokens });
      return (await library.load(kernelUnit(form), form.symbol)).resources();
    },
    enqueue: (stream, tokens, { plan, ...buffers }) => {
      route.enqueue(stream, { tokens, ...buffers, ...(plan !== undefined && { dispatchPlan: plan }) });
    },
  };
}

/** A baseline for a shape; null where the published kernel does not take it. */
export async function baselineContender(
  baseline: Baseline,
  { experts, topK, dtype }: BenchmarkShape,
  driver: GpuDriver,
  library: KernelLibrary,
): Promise<Contender | null> {
  const unit = baselineKernel(baseline, { experts, topK, logitsDtype: dtype }, library.target);
  if (unit === null) return null;
  const { source, defines, symbol, threadsPerBlock } = unit;
  const kernelText = { name: baseline, source: () => source, defines };
  const kernel = await library.load(kernelText, symbol);
  const launch = await loadLaunch(driver, library, {
    unit: kernelText,
    symbol,
    threadsPerBlock,
    arguments: BASELINE_ARGUMENTS,
  });
  return {
    name: baseline,
    prepare: async () => kernel.resources(),
    enqueue: (stream, tokens, { logits, weights, ids }) => {
      launch.launch(stream, Math.ceil(tokens / unit.tokensPerBlock), { logits, weights, ids, tokens, topK });
    },
  };
}
