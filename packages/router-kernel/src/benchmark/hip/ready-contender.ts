/** A contender on its way to being timed: loaded, checked, and captured in a graph. */

import { downloadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, GpuDriver, GpuStream } from '@switchyard/gpu';
import type { Benchmark, BenchmarkContender } from '@switchyard/gpu/benchmark';
import type { Logits } from '../../contract.ts';
import { describeShape } from '../logits.ts';
import type { BenchmarkShape } from '../logits.ts';
import { POISON, ROUTING_CHECK, routingProblems } from '../routing-check.ts';
import type { Contender, ContenderBuffers } from './contenders.ts';
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
  const what = isEmpty ? 'outputs with what was in them before: it writes nothing' : ROUTING_CHECK;
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
  driver.fill(set.weights.pointer, POISON, set.weights.bytes, stream);
  driver.fill(set.ids.pointer, POISON, set.ids.bytes, stream);
  contender.enqueue(stream, tokens, pointersOf(set));
  const weights = await downloadBytes(driver, stream, set.weights.pointer, set.weights.bytes);
  const ids = await downloadBytes(driver, stream, set.ids.pointer, set.ids.bytes);
  if (isEmpty) {
    const isUntouched = [weights, ids].every((bytes) => new Uint8Array(bytes).every((byte) => byte === POISON));
    return isUntouched ? [] : ['it wrote into its outputs'];
  }
  return routingProblems(shape, logits, { weights: new Float32Array(weights), ids: new Int32Array(ids) });
}

function pointersOf({ logits, weights, ids }: BufferSet): ContenderBuffers {
  return { logits: logits.pointer, weights: weights.pointer, ids: ids.pointer };
}
