/** `router-kernel bench --backend webgpu`: the router's dispatch beside HIP's, and whole calls beside ONNX Runtime's. */

import type { Logits, LogitsDtype, RouterConfig } from '../contract.ts';
import { encodeLogits } from '../number-formats.ts';
import { createWebGpuRouter } from '../webgpu/index.ts';
import type { ExchangePath, WebGpuRouter } from '../webgpu/index.ts';
import { measureOrt } from './bench-webgpu-ort.ts';
import type { OrtTimes } from './bench-webgpu-ort.ts';
import { openHipTimer } from './bench-webgpu-hip.ts';
import type { HipTimer, HipTimes } from './bench-webgpu-hip.ts';

/** What is measured. */
export interface WebGpuBenchOptions {
  /** E. Defaults to 128. */
  readonly experts?: number;
  /** K. Defaults to 4. */
  readonly topK?: number;
  /** Defaults to `'bf16'`. ONNX Runtime is given f32: its WebGPU provider takes no bf16. */
  readonly logitsDtype?: LogitsDtype;
  /** Token counts. Defaults to 1 to 65536. */
  readonly tokens?: readonly number[];
  /** Defaults to `'auto'`. */
  readonly path?: ExchangePath | 'auto';
  /** Run on SwiftShader. Defaults to `false`. */
  readonly software?: boolean;
  /** Measure ONNX Runtime too. Defaults to `true`. */
  readonly ort?: boolean;
  /** Measure the HIP router's kernel too, where it starts. Defaults to `true` on a hardware adapter. */
  readonly hip?: boolean;
  /** Hears of progress, and why something was not measured. */
  readonly onLine?: (line: string) => void;
}

/** Times for one number of tokens, in microseconds; medians. */
export interface WebGpuBenchRow {
  readonly tokens: number;
  /** GPU time of one dispatch among many in one pass, by timestamp queries; null without that feature. */
  readonly kernelMicroseconds: number | null;
  /** The HIP kernel on the same logits; null where HIP did not start. */
  readonly hip: HipTimes | null;
  /** `route()` from host arrays to host arrays, one call at a time, with the logits in ONNX Runtime's dtype, f32. */
  readonly routeF32Microseconds: number;
  /** ONNX Runtime's WebGPU provider; null where it was not measured. */
  readonly ort: OrtTimes | null;
}

/** A report, as it is stored. */
export interface WebGpuBenchReport {
  readonly device: string;
  readonly path: ExchangePath;
  readonly experts: number;
  readonly topK: number;
  readonly logitsDtype: LogitsDtype;
  /**
   * GPU time of a dispatch of one workgroup that stores one word, among many of one pass: what WebGPU takes from one
   * dispatch to the next, which is part of every kernelMicroseconds. Null without timestamp queries.
   */
  readonly emptyDispatchMicroseconds: number | null;
  /** The GPU that the HIP kernel ran on; null where it was not measured. */
  readonly hipDevice: string | null;
  /** What a HIP launch of one block that does nothing takes, which is part of every ordinaryMicroseconds. */
  readonly hipEmptyLaunchMicroseconds: number | null;
  readonly rows: readonly WebGpuBenchRow[];
}

const DEFAULT_TOKENS: readonly number[] = [1, 4, 32, 128, 512, 1024, 2048, 4096, 16384, 65536];
/** What `--shapes all` measures: gpt-oss-120b first. ONNX Runtime is measured on that alone. */
export const WEBGPU_BENCH_SERIES: readonly WebGpuBenchOptions[] = [
  { experts: 128, topK: 4, logitsDtype: 'bf16' },
  { experts: 128, topK: 4, logitsDtype: 'bf16', path: 'workgroup', ort: false },
  { experts: 128, topK: 4, logitsDtype: 'f32', ort: false },
  { experts: 256, topK: 8, logitsDtype: 'bf16', ort: false },
  { experts: 32, topK: 4, logitsDtype: 'bf16', ort: false },
];
/** A pass holds so many dispatches that it lasts this long: implementations round timestamps, some to 0.1 ms. */
const PASS_MICROSECONDS = 20_000;
const MOST_DISPATCHES = 4000;
/** How often a pass is timed. */
const REPEATS = 7;
/** The GPU works for so long before it is timed: an idle GPU lowers its clocks, and takes a while to raise them. */
const WARM_UP_MILLISECONDS = 200;
/** A whole call is repeated for so long, but not less than so often. */
const CALL_MILLISECONDS = 150;
const LEAST_CALLS = 3;
/** GPUBufferUsage. */
const STORAGE_COPY_DST = 0x88;
const STORAGE = 0x80;
const QUERY_RESOLVE_COPY_SRC = 0x204;
const MAP_READ_COPY_DST = 0x9;

/** Runs the benchmark. @throws InvalidConfigError, BackendUnavailableError */
export async function runWebGpuBench(options: WebGpuBenchOptions = {}): Promise<WebGpuBenchReport> {
  const { experts = 128, topK = 4, logitsDtype = 'bf16', tokens = DEFAULT_TOKENS, software = false, onLine } = options;
  const { path = 'auto', ort: wantsOrt = true, hip: wantsHip = !software } = options;
  const config: RouterConfig = { experts, topK, logitsDtype };
  const rows: WebGpuBenchRow[] = [];
  await using router = await createWebGpuRouter(config, { path, software });
  await using f32Router = await createWebGpuRouter({ experts, topK }, { path, software });
  const explain = (what: string, error: unknown): null => {
    onLine?.(`${what} was not measured: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  };
  const hip: HipTimer | null = wantsHip ? await openHipTimer(config).catch((error) => explain('HIP', error)) : null;
  let measuresOrt = wantsOrt;
  onLine?.(`${router.device}, path ${router.path}, E ${experts}, K ${topK}, ${logitsDtype}`);
  const emptyDispatchMicroseconds = await measureEmptyDispatch(router.gpuDevice);
  const hipEmptyLaunchMicroseconds = hip?.emptyLaunchMicroseconds ?? null;
  onLine?.(`empty dispatch ${us(emptyDispatchMicroseconds)}, empty HIP launch ${us(hipEmptyLaunchMicroseconds)}`);
  try {
    for (const count of tokens) {
      const f32Logits = logitsOf(experts, count);
      const logits = encodeLogits(f32Logits, logitsDtype);
      const kernelMicroseconds = await measureKernel(router, logits, count);
      const hipTimes = hip === null ? null : await hip.measure(logits, count);
      const routeF32Microseconds = await medianCall(() => f32Router.route(f32Logits));
      let ort: OrtTimes | null = null;
      if (measuresOrt) {
        ort = await measureOrt(f32Logits, experts, topK, medianCall).catch((error) => explain('ONNX Runtime', error));
        measuresOrt = ort !== null;
      }
      const row = { tokens: count, kernelMicroseconds, hip: hipTimes, routeF32Microseconds, ort };
      rows.push(row);
      onLine?.(describe(row));
    }
  } finally {
    hip?.dispose();
  }
  return {
    device: router.device,
    path: router.path,
    experts,
    topK,
    logitsDtype,
    emptyDispatchMicroseconds,
    hipDevice: hip?.device ?? null,
    hipEmptyLaunchMicroseconds,
    rows,
  };
}

function us(value: number | null | undefined): string {
  return value == null ? '-' : `${value.toFixed(2)} us`;
}

function describe({ tokens, kernelMicroseconds, hip, routeF32Microseconds, ort }: WebGpuBenchRow): string {
  return [
    `T ${tokens}: dispatch ${us(kernelMicroseconds)}`,
    `HIP ${us(hip?.ordinaryMicroseconds)}, overlapping ${us(hip?.overlappedMicroseconds)}`,
    `route() of f32 ${us(routeF32Microseconds)}`,
    `ONNX Runtime run ${us(ort?.runMicroseconds)}, operators ${us(ort?.operatorMicroseconds)}`,
  ].join(', ');
}

/** GPU time of one dispatch in microseconds, with the logits resident on the GPU. */
async function measureKernel(router: WebGpuRouter, logits: Logits, tokens: number): Promise<number | null> {
  const { gpuDevice } = router;
  if (!gpuDevice.features.has('timestamp-query')) return null;
  const slots = tokens * router.config.topK;
  const buffers = {
    logits: gpuDevice.createBuffer({ size: Math.ceil(logits.byteLength / 16) * 16, usage: STORAGE_COPY_DST }),
    weights: gpuDevice.createBuffer({ size: slots * 4, usage: STORAGE }),
    ids: gpuDevice.createBuffer({ size: slots * 4, usage: STORAGE }),
  };
  gpuDevice.queue.writeBuffer(buffers.logits, 0, new Uint8Array(logits.buffer as ArrayBuffer));
  const ranges = {
    logits: { buffer: buffers.logits },
    weights: { buffer: buffers.weights },
    ids: { buffer: buffers.ids },
  };
  const microseconds = await medianDispatch(gpuDevice, (pass) => router.encode(pass, ranges, { tokens }));
  for (const buffer of Object.values(buffers)) buffer.destroy();
  return microseconds;
}

/** GPU time of a dispatch that does nothing but follow the one before it, in microseconds. */
async function measureEmptyDispatch(gpuDevice: GPUDevice): Promise<number | null> {
  if (!gpuDevice.features.has('timestamp-query')) return null;
  const code = `@group(0) @binding(0) var<storage, read_write> word: array<u32>;
    @compute @workgroup_size(1) fn main() { word[0] = 1u; }`;
  const pipeline = gpuDevice.createComputePipeline({
    layout: 'auto',
    compute: { module: gpuDevice.createShaderModule({ code }), entryPoint: 'main' },
  });
  const buffer = gpuDevice.createBuffer({ size: 16, usage: STORAGE });
  const layout = pipeline.getBindGroupLayout(0);
  const bindGroup = gpuDevice.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] });
  const microseconds = await medianDispatch(gpuDevice, (pass) => {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(1);
  });
  buffer.destroy();
  return microseconds;
}

/** The median GPU time of one of many dispatches of a pass, in microseconds. */
async function medianDispatch(gpuDevice: GPUDevice, encode: (pass: GPUComputePassEncoder) => void): Promise<number> {
  const timer = new PassTimer(gpuDevice);
  const time = (dispatches: number): Promise<number> =>
    timer.measure((pass) => {
      for (let i = 0; i < dispatches; i++) encode(pass);
    });
  await time(2);
  const estimate = Math.max((await time(20)) / 20, 0.1);
  const dispatches = Math.max(3, Math.min(MOST_DISPATCHES, Math.round(PASS_MICROSECONDS / estimate)));
  const warm = performance.now() + WARM_UP_MILLISECONDS;
  while (performance.now() < warm) await time(dispatches);
  const times: number[] = [];
  for (let repeat = 0; repeat < REPEATS; repeat++) times.push((await time(dispatches)) / dispatches);
  timer.destroy();
  return median(times);
}

/** Times compute passes by timestamp queries. */
class PassTimer {
  readonly #gpuDevice: GPUDevice;
  readonly #querySet: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #readback: GPUBuffer;

  constructor(gpuDevice: GPUDevice) {
    this.#gpuDevice = gpuDevice;
    this.#querySet = gpuDevice.createQuerySet({ type: 'timestamp', count: 2 });
    this.#resolved = gpuDevice.createBuffer({ size: 256, usage: QUERY_RESOLVE_COPY_SRC });
    this.#readback = gpuDevice.createBuffer({ size: 256, usage: MAP_READ_COPY_DST });
  }

  /** The GPU time of a pass in microseconds. */
  async measure(record: (pass: GPUComputePassEncoder) => void): Promise<number> {
    const commands = this.#gpuDevice.createCommandEncoder();
    const pass = commands.beginComputePass({
      timestampWrites: { querySet: this.#querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    });
    record(pass);
    pass.end();
    commands.resolveQuerySet(this.#querySet, 0, 2, this.#resolved, 0);
    commands.copyBufferToBuffer(this.#resolved, 0, this.#readback, 0, 16);
    this.#gpuDevice.queue.submit([commands.finish()]);
    await this.#readback.mapAsync(1, 0, 16);
    const [start = 0n, end = 0n] = new BigInt64Array(this.#readback.getMappedRange(0, 16));
    this.#readback.unmap();
    return Number(end - start) / 1000;
  }

  destroy(): void {
    this.#querySet.destroy();
    this.#resolved.destroy();
    this.#readback.destroy();
  }
}

/** The median time of a call in microseconds, after one that warms up. */
async function medianCall(work: () => Promise<unknown>): Promise<number> {
  await work();
  const times: number[] = [];
  const end = performance.now() + CALL_MILLISECONDS;
  while (times.length < LEAST_CALLS || performance.now() < end) {
    const start = performance.now();
    await work();
    times.push((performance.now() - start) * 1000);
  }
  return median(times);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

/** f32 logits between -4 and 4, the same each time. */
function logitsOf(experts: number, tokens: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: tokens * experts }, (_, i) => Math.sin(i * 12.9898) * 4);
}
