/**
 * The router of a GPU by itself: the part of the contract suite that is about the published shapes, and how long a launch
 * takes.
 */

import type { GpuDriver } from '@switchyard/gpu';
import { uploadBytes } from '@switchyard/gpu';
import { createHipRouter } from '@switchyard/router-kernel/hip';
import { type ContractFailure, contractCases, runContractSuite } from '@switchyard/router-kernel/suite';

/** How long the router takes for one size. */
export interface RouterTiming {
  readonly experts: number;
  readonly topK: number;
  readonly tokens: number;
  /** Microseconds of a launch in a graph of many, warm: the median of the replays. */
  readonly microseconds: number;
}

/** What was found. Survives JSON. */
export interface RouterReport {
  readonly cases: number;
  readonly rows: number;
  readonly mismatchedIds: number;
  readonly mismatchedWeights: number;
  readonly failures: readonly ContractFailure[];
  readonly timing: readonly RouterTiming[];
}

/** Experts of gpt-oss-20b and 120b; both choose four. */
const EXPERTS = [32, 128];
const TOP_K = 4;
const TOKENS = [1, 64, 1024];
const LAUNCHES = 64;
const REPLAYS = 20;

/** Compares with the reference, then measures; what is wrong is not measured. */
export async function verifyRouter(driver: GpuDriver): Promise<RouterReport> {
  const cases = contractCases('quick').filter(
    ({ config }) => config.topK === TOP_K && EXPERTS.includes(config.experts),
  );
  const result = await runContractSuite((config) => createHipRouter(config, { driver, prepare: 'none' }), { cases });
  const { rows, mismatchedIds, mismatchedWeights, failures } = result;
  const timing: RouterTiming[] = [];
  if (failures.length === 0) {
    for (const experts of EXPERTS) for (const tokens of TOKENS) timing.push(await timeRouter(driver, experts, tokens));
  }
  return { cases: result.cases, rows, mismatchedIds, mismatchedWeights, failures, timing };
}

async function timeRouter(driver: GpuDriver, experts: number, tokens: number): Promise<RouterTiming> {
  const owned: (() => void)[] = [];
  const allocate = (bytes: number): bigint => {
    const buffer = driver.allocate(bytes);
    owned.push(() => buffer.free());
    return buffer.pointer;
  };
  await using router = await createHipRouter({ experts, topK: TOP_K, logitsDtype: 'f32' }, { driver, prepare: 'none' });
  await router.prepare({ tokens });
  const stream = driver.createStream();
  try {
    const logits = allocate(4 * tokens * experts);
    const values = Float32Array.from({ length: tokens * experts }, (_, index) => Math.sin(index * 12.9898) * 4);
    await uploadBytes(driver, stream, logits, new Uint8Array(values.buffer));
    const buffers = { tokens, logits, weights: allocate(4 * tokens * TOP_K), ids: allocate(4 * tokens * TOP_K) };
    const graph = driver.capture(stream, () => {
      for (let launch = 0; launch < LAUNCHES; launch++) router.enqueue(stream, buffers);
    });
    const [start, end] = [driver.createEvent(), driver.createEvent()];
    owned.push(
      () => start.destroy(),
      () => end.destroy(),
      () => graph.destroy(),
    );
    graph.launch(stream);
    const times = Array.from({ length: REPLAYS }, () => {
      start.record(stream);
      graph.launch(stream);
      end.record(stream);
      end.synchronize();
      return (1000 * end.elapsedSince(start)) / LAUNCHES;
    }).toSorted((a, b) => a - b);
    return { experts, topK: TOP_K, tokens, microseconds: times[REPLAYS >> 1] ?? Number.NaN };
  } finally {
    for (const release of owned.toReversed()) release();
    stream.destroy();
  }
}
