/** A contender on its way to being timed: loaded, checked, and captured in a graph. */

import { downloadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, GpuDriver, GpuStream } from '@switchyard/gpu';
import type { Benchmark, BenchmarkContender } from '@switchyard/gpu/benchmark';
import type { DispatchPlan, Logits } from '../../contract.ts';
import { planProblems } from '../../suite/compare-output.ts';
import { describeShape } from '../logits.ts';
import type { BenchmarkShape } from '../logits.ts';
import { PLAN_CHECK, POISON, ROUTING_CHECK, routingProblems } from '../routing-check.ts';
import type { Contender, ContenderBuffers } from './contender.ts';
import { LaunchTimer, replaysOfTurn } from './launch-timer.ts';
import type { MeasureOptions } from './launch-timer.ts';

/** A problem that lies in device memory. */
export interface LoadedProblem {
  readonly driver: GpuDriver;
  readonly stream: GpuStream;
  readonly shape: BenchmarkShape;
  /** T. */
  readonly tokens: number;
  /** [T, E], as every set of buffers holds them. */
  readonly logits: Logits;
  /** Launches of a graph use them in turn; one at least. */
  readonly sets: readonly [BufferSet, ...BufferSet[]];
  readonly measure: MeasureOptions;
}

/** Where one launch reads and writes. */
export interface BufferSet {
  readonly logits: DeviceBuffer;
  readonly weights: DeviceBuffer;
  readonly ids: DeviceBuffer;
  /** Where contenders that make a dispatch plan write it; needed where there are such. */
  readonly plan?: {
    readonly expertOffsets: DeviceBuffer;
    readonly sortedSlots: DeviceBuffer;
    /** Its first bytes are 0. */
    readonly workspace: DeviceBuffer;
  };
}

/** A contender that can take its turns. Its graph is the caller's to dispose of. */
export interface ReadyContender extends BenchmarkContender, Disposable {}

/**
 * Loads a contender and checks it.
 *
 * @param name what it is called in the report
 * @returns null where its answers are wrong
 */
export async function readyContender(
  benchmark: Benchmark,
  problem: LoadedProblem,
  contender: Contender,
  name: string = contender.name,
): Promise<ReadyContender | null> {
  const { driver, stream, tokens, sets, measure, shape } = problem;
  const resources = await contender.prepare(tokens);
  const subject = `${name} ${describeShape(shape)} T = ${tokens}`;
  const isEmpty = contender.name === 'empty';
  const makesPlan = contender.planWorkspaceBytes !== undefined;
  const routing = makesPlan ? `${ROUTING_CHECK}; ${PLAN_CHECK}` : ROUTING_CHECK;
  const what = isEmpty ? 'outputs with what was in them before: it writes nothing' : routing;
  const check = await benchmark.check(subject, what, () => problemsOf(problem, contender, isEmpty));
  if (check === null) return null;
  const timer = new LaunchTimer(driver, stream, measure.launches, (index) =>
    contender.enqueue(stream, tokens, pointersOf(sets[index % sets.length] ?? sets[0])),
  );
  return {
    name,
    check,
    facts: { ...resources },
    sample: (round) => timer.sample(replaysOfTurn(measure.replays, round)),
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  };
}

/** Runs a contender once into poisoned outputs; the empty kernel has to leave them as they are. */
async function problemsOf(
  { driver, stream, shape, tokens, logits, sets: [set] }: LoadedProblem,
  contender: Contender,
  isEmpty: boolean,
): Promise<readonly string[]> {
  const { plan } = set;
  const written = [set.weights, set.ids, ...(plan === undefined ? [] : [plan.expertOffsets, plan.sortedSlots])];
  for (const { pointer, bytes } of written) driver.fill(pointer, POISON, bytes, stream);
  contender.enqueue(stream, tokens, pointersOf(set));
  const weights = await downloadBytes(driver, stream, set.weights.pointer, set.weights.bytes);
  const ids = await downloadBytes(driver, stream, set.ids.pointer, set.ids.bytes);
  if (isEmpty) {
    const isUntouched = [weights, ids].every((bytes) => new Uint8Array(bytes).every((byte) => byte === POISON));
    return isUntouched ? [] : ['it wrote into its outputs'];
  }
  const output = { weights: new Float32Array(weights), ids: new Int32Array(ids) };
  const problems = routingProblems(shape, logits, output);
  if (problems.length > 0 || contender.planWorkspaceBytes === undefined) return problems;
  if (plan === undefined) throw new RangeError(`${contender.name} makes a plan, and has no buffers for one.`);
  const read = async ({ pointer, bytes }: DeviceBuffer): Promise<Int32Array> =>
    new Int32Array(await downloadBytes(driver, stream, pointer, bytes));
  const found = { expertOffsets: await read(plan.expertOffsets), sortedSlots: await read(plan.sortedSlots) };
  if (contender.keepsPlanOrder === false) sortWithinExperts(found);
  return planProblems(found, output.ids, shape.experts);
}

/** Puts the slots of each expert in order. Offsets that are wrong are left for the comparison to find. */
function sortWithinExperts({ expertOffsets, sortedSlots }: DispatchPlan): void {
  for (let expert = 0; expert + 1 < expertOffsets.length; expert++) {
    sortedSlots.subarray(expertOffsets[expert], expertOffsets[expert + 1]).sort();
  }
}

function pointersOf({ logits, weights, ids, plan }: BufferSet): ContenderBuffers {
  return {
    logits: logits.pointer,
    weights: weights.pointer,
    ids: ids.pointer,
    ...(plan !== undefined && {
      plan: {
        expertOffsets: plan.expertOffsets.pointer,
        sortedSlots: plan.sortedSlots.pointer,
        workspace: plan.workspace.pointer,
      },
    }),
  };
}
