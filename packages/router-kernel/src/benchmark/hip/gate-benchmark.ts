/**
 * The benchmark of gated routers: gate projection and router in one launch beside the same in launches of their own, which
 * overlap, each with and without the dispatch plan, checked before it is timed.
 */

import { downloadBytes, uploadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, GpuDriver, GpuStream, KernelLibrary } from '@switchyard/gpu';
import { Benchmark } from '@switchyard/gpu/benchmark';
import type { BenchmarkContender, BenchmarkReport } from '@switchyard/gpu/benchmark';
import type { GatedRouterConfig, HiddenStates } from '../../gate/gate-contract.ts';
import { gateShapeOf, resolveGatedRouterConfig } from '../../gate/resolve-gate.ts';
import { DeviceGatedRoute } from '../../hip/device-gated-route.ts';
import type { DeviceGate, DeviceGatedRouteBuffers } from '../../hip/device-gated-route.ts';
import { openRouterLibrary } from '../../hip/router-library.ts';
import { encodeLogits } from '../../number-formats.ts';
import { compareGatedOutput } from '../../suite/compare-gate.ts';
import { normal, seededRandom } from '../../suite/seeded-random.ts';
import { POISON } from '../routing-check.ts';
import { LaunchTimer, replaysOfTurn, turnsOf } from './launch-timer.ts';
import type { MeasureOptions } from './launch-timer.ts';

/** What is timed, by name: `'fused'` in one launch, `'apart'` the gate projection and then the router. */
export const GATE_CONTENDERS = ['fused', 'apart', 'fused_plan', 'apart_plan'] as const;
type GateContender = (typeof GATE_CONTENDERS)[number];

/** E, K and H. */
export interface GateBenchmarkShape {
  readonly experts: number;
  readonly topK: number;
  readonly hiddenSize: number;
}

/** gpt-oss-120b first; then gpt-oss-20b, Qwen3-30B-A3B and DeepSeek-V3 without its groups. */
export const GATE_BENCHMARK_SHAPES: readonly GateBenchmarkShape[] = [
  { experts: 128, topK: 4, hiddenSize: 2880 },
  { experts: 32, topK: 4, hiddenSize: 2880 },
  { experts: 128, topK: 8, hiddenSize: 2048 },
  { experts: 256, topK: 8, hiddenSize: 7168 },
];
/** T: those that the fused kernel takes. */
export const GATE_BENCHMARK_TOKENS: readonly number[] = [1, 2, 4];

const CHECK =
  'logits with the exact sums within their rounding; ids, weights and plan with the f64 reference of these logits';

/** How a benchmark runs. */
export interface GateBenchmarkOptions {
  /** Defaults to `GATE_BENCHMARK_SHAPES`. */
  readonly shapes?: readonly GateBenchmarkShape[];
  /** Defaults to `GATE_BENCHMARK_TOKENS`. */
  readonly tokens?: readonly number[];
  /** Defaults to 100 launches a graph and 100 replays. */
  readonly measure?: MeasureOptions;
  /** The commit, where git is not to be asked. */
  readonly commit?: string | undefined;
  readonly signal?: AbortSignal;
  /** Kernels of the device, which are disposed of in the end. Defaults to those of `openRouterLibrary`. */
  readonly library?: KernelLibrary;
}

/** Runs it. @throws UncheckedBenchmarkError where every contender was wrong; what the driver throws */
export async function runGateBenchmark(
  driver: GpuDriver,
  options: GateBenchmarkOptions = {},
): Promise<BenchmarkReport> {
  const { shapes = GATE_BENCHMARK_SHAPES, tokens = GATE_BENCHMARK_TOKENS, commit, signal } = options;
  const measure = options.measure ?? { launches: 100, replays: 100 };
  const { name, architecture, driverVersion } = driver.info;
  const benchmark = new Benchmark({
    name: 'router-kernel bench --backend hip --shapes gate',
    manifest: new URL('../../../package.json', import.meta.url),
    packages: ['@switchyard/gpu'],
    gpu: { name, architecture, driver: driverVersion },
    settings: { launchesPerGraph: measure.launches, replays: measure.replays, hiddenDtype: 'bf16', cache: 'warm' },
    commit,
    signal,
  });
  const stream = driver.createStream();
  const library = options.library ?? openRouterLibrary(driver);
  try {
    for (const shape of shapes) {
      for (const count of tokens) {
        signal?.throwIfAborted();
        await measureShape(benchmark, { driver, stream, library, shape, tokens: count, measure });
      }
    }
    benchmark.addVersion('kernel compiler', library.compilerVersion ?? 'ahead of time');
    return benchmark.finish();
  } finally {
    library.dispose();
    stream.destroy();
  }
}

interface Run {
  readonly driver: GpuDriver;
  readonly stream: GpuStream;
  readonly library: KernelLibrary;
  readonly shape: GateBenchmarkShape;
  readonly tokens: number;
  readonly measure: MeasureOptions;
}

async function measureShape(benchmark: Benchmark, run: Run): Promise<void> {
  const { driver, stream, shape, tokens, measure } = run;
  const { experts, topK, hiddenSize } = shape;
  const { config, hidden } = gateProblem(shape, tokens);
  const held: DeviceBuffer[] = [];
  const allocate = (bytes: number): DeviceBuffer => {
    const buffer = driver.allocate(bytes);
    held.push(buffer);
    return buffer;
  };
  const upload = async (array: Uint16Array | Float32Array): Promise<bigint> => {
    const { pointer } = allocate(array.byteLength);
    await uploadBytes(driver, stream, pointer, new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return pointer;
  };
  const timers: LaunchTimer[] = [];
  try {
    const gate: DeviceGate = {
      weight: await upload(config.gateWeight),
      bias: await upload(config.gateBias ?? new Float32Array(experts)),
      correctionBias: 0n,
    };
    const input = await upload(hidden);
    const ready: BenchmarkContender[] = [];
    for (const contender of GATE_CONTENDERS) {
      const route = await routeOf(contender, config, gate, run);
      await route.prepare({ tokens });
      const outputs = {
        logits: allocate(tokens * experts * 4),
        weights: allocate(tokens * topK * 4),
        ids: allocate(tokens * topK * 4),
        expertOffsets: allocate((experts + 1) * 4),
        sortedSlots: allocate(tokens * topK * 4),
      };
      const workspace = allocate(route.workspaceBytes(tokens));
      driver.fill(workspace.pointer, 0, workspace.bytes, stream);
      const { expertOffsets, sortedSlots, ...routing } = outputs;
      const buffers: DeviceGatedRouteBuffers = {
        tokens,
        hidden: input,
        workspace: workspace.pointer,
        logits: routing.logits.pointer,
        weights: routing.weights.pointer,
        ids: routing.ids.pointer,
        ...(makesPlan(contender) && {
          dispatchPlan: { expertOffsets: expertOffsets.pointer, sortedSlots: sortedSlots.pointer },
        }),
      };
      const subject = `${contender} (${experts}, ${topK}), H = ${hiddenSize}, T = ${tokens}`;
      const check = await benchmark.check(subject, CHECK, async () => {
        for (const { pointer, bytes } of Object.values(outputs)) driver.fill(pointer, POISON, bytes, stream);
        route.enqueue(stream, buffers);
        const read = ({ pointer, bytes }: DeviceBuffer): Promise<ArrayBuffer> =>
          downloadBytes(driver, stream, pointer, bytes);
        const output = {
          tokens,
          routerLogits: new Float32Array(await read(outputs.logits)),
          weights: new Float32Array(await read(outputs.weights)),
          ids: new Int32Array(await read(outputs.ids)),
          ...(makesPlan(contender) && {
            dispatchPlan: {
              expertOffsets: new Int32Array(await read(expertOffsets)),
              sortedSlots: new Int32Array(await read(sortedSlots)),
            },
          }),
        };
        const resolved = resolveGatedRouterConfig({ ...config, dispatchPlan: makesPlan(contender) });
        const call = { tokens, rowStride: hiddenSize, paddingMask: null, rowCount: tokens };
        return compareGatedOutput(resolved, hidden, call, output).problems;
      });
      if (check === null) continue;
      const timer = new LaunchTimer(driver, stream, measure.launches, () => route.enqueue(stream, buffers));
      timers.push(timer);
      ready.push({
        name: contender,
        check,
        sample: (round: number) => timer.sample(replaysOfTurn(measure.replays, round)),
      });
    }
    await benchmark.measure({
      name: 'gate and router',
      unit: 'µs',
      better: 'lower',
      parameters: { ...shape, tokens },
      rounds: turnsOf(measure.replays),
      contenders: ready,
    });
  } finally {
    for (const timer of timers) timer[Symbol.dispose]();
    for (const buffer of held) buffer.free();
  }
}

function makesPlan(contender: GateContender): boolean {
  return contender.endsWith('_plan');
}

function routeOf(
  contender: GateContender,
  config: GatedRouterConfig,
  gate: DeviceGate,
  { driver, library }: Run,
): Promise<DeviceGatedRoute> {
  const shape = gateShapeOf(resolveGatedRouterConfig({ ...config, dispatchPlan: makesPlan(contender) }));
  const mode = contender.startsWith('fused') ? 'fused' : 'separate';
  return DeviceGatedRoute.create({ driver, library, shape, gate, mode });
}

/** Normal hidden states, and a gate whose logits have a standard deviation of 2, the same each time. */
function gateProblem(
  { experts, topK, hiddenSize }: GateBenchmarkShape,
  tokens: number,
): { readonly config: GatedRouterConfig; readonly hidden: HiddenStates } {
  const random = seededRandom(`gate benchmark ${experts} ${hiddenSize} ${tokens}`);
  const normals = (length: number, spread: number): Float32Array =>
    Float32Array.from({ length }, () => spread * normal(random));
  const gateWeight = encodeLogits(normals(experts * hiddenSize, 2 / Math.sqrt(hiddenSize)), 'bf16') as Uint16Array;
  return {
    config: { experts, topK, hiddenSize, gateWeight, gateBias: normals(experts, 0.5) },
    hidden: encodeLogits(normals(tokens * hiddenSize, 1), 'bf16'),
  };
}
