/** What the benchmark times: this package's kernel, the baselines after published ones, and an empty kernel. */

import { loadLaunch } from '@switchyard/gpu';
import type { GpuDriver, KernelLibrary } from '@switchyard/gpu';
import { DeviceRoute } from '../../hip/device-route.ts';
import { kernelUnit } from '../../hip/kernel/source.ts';
import type { BenchmarkShape } from '../logits.ts';
import { configOf } from '../routing-check.ts';
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

function contenderOf(
  name: ContenderName,
  shape: BenchmarkShape,
  driver: GpuDriver,
  library: KernelLibrary,
): Promise<Contender | null> {
  if (name === 'switchyard_plan') return plannedContender(shape, driver, library);
  if (name === 'plan_apart') return planApartContender(shape, driver, library);
  if (name === 'switchyard' || name === 'switchyard_ordinary') return ownContender(name, shape, driver, library);
  return baselineContender(name, shape, driver, library);
}

/** This package's kernel. */
export async function ownContender(
  name: 'switchyard' | 'switchyard_ordinary',
  shape: BenchmarkShape,
  driver: GpuDriver,
  library: KernelLibrary,
): Promise<Contender> {
  const config = configOf(shape);
  const route = await DeviceRoute.create(driver, library, config, 0n, name === 'switchyard');
  return {
    name,
    prepare: async (tokens) => {
      await route.prepare({ tokens });
      const form = route.describe({ tokens });
      return (await library.load(kernelUnit(form), form.symbol)).resources();
    },
    enqueue: (stream, tokens, { logits, weights, ids }) => route.enqueue(stream, { tokens, logits, weights, ids }),
  };
}

/** This package's kernels with the dispatch plan. */
async function plannedContender(shape: BenchmarkShape, driver: GpuDriver, library: KernelLibrary): Promise<Contender> {
  const route = await DeviceRoute.create(driver, library, { ...configOf(shape), dispatchPlan: true }, 0n);
  return {
    name: 'switchyard_plan',
    planWorkspaceBytes: (tokens) => route.planWorkspaceBytes(tokens),
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
