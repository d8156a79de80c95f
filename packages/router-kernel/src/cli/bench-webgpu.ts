/** `router-kernel bench --backend webgpu`: GPU time of the router's dispatch, and whole calls beside ONNX Runtime's. */

import type { LogitsDtype, RouterConfig } from '../contract.ts';
import { encodeLogits } from '../number-formats.ts';
import { createWebGpuRouter } from '../webgpu/index.ts';
import type { ExchangePath, WebGpuRouter } from '../webgpu/index.ts';
import { measureOrt } from './bench-webgpu-ort.ts';
import type { OrtTimes } from './bench-webgpu-ort.ts';

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
  /** Hears of progress, and why something was not measured. */
  readonly onLine?: (line: string) => void;
}

/** Times for one number of tokens, in microseconds; medians. */
export interface WebGpuBenchRow {
  readonly tokens: number;
  /** GPU time of one dispatch among many in one pass, by timestamp queries; null without that feature. */
  readonly kernelMicroseconds: number | null;
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
  readonly dispatchesPerPass: number;
  readonly rows: readonly WebGpuBenchRow[];
}

const DEFAULT_TOKENS: readonly number[] = [1, 4, 32, 128, 512, 1024, 2048, 4096, 16384, 65536];
/** Dispatches between two timestamps; and how often that is repeated. */
const DISPATCHES = 100;
const REPEATS = 7;
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
  const { path = 'auto' } = options;
  const config: RouterConfig = { experts, topK, logitsDtype };
  const rows: WebGpuBenchRow[] = [];
  await using router = await createWebGpuRouter(config, { path, software });
  await using f32Router = await createWebGpuRouter({ experts, topK }, { path, software });
  let isOrtWanted = options.ort ?? true;
  onLine?.(`${router.device}, path ${router.path}, E ${experts}, K ${topK}, ${logitsDtype}`);
  for (const count of tokens) {
    const kernelMicroseconds = await measureKernel(router, count);
    const logits = logitsOf(experts, count);
    const routeF32Microseconds = await medianCall(() => f32Router.route(logits));
    let ort: OrtTimes | null = null;
    if (isOrtWanted) {
      try {
        ort = await measureOrt(experts, topK, count, medianCall);
      } catch (error) {
        isOrtWanted = false;
        onLine?.(`ONNX Runtime was not measured: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    rows.push({ tokens: count, kernelMicroseconds, routeF32Microseconds, ort });
    onLine?.(describe(rows.at(-1)));
  }
  return { device: router.device, path: router.path, experts, topK, logitsDtype, dispatchesPerPass: DISPATCHES, rows };
}

function describe(row: WebGpuBenchRow | undefined): string {
  if (row === undefined) return '';
  const us = (value: number | null | undefined): string => (value == null ? '-' : `${value.toFixed(2)} us`);
  return [
    `T ${row.tokens}: dispatch ${us(row.kernelMicroseconds)}`,
    `route() of f32 ${us(row.routeF32Microseconds)}`,
    `ONNX Runtime run ${us(row.ort?.runMicroseconds)}, operators ${us(row.ort?.operatorMicroseconds)}`,
  ].join(', ');
}

/** GPU time of one dispatch, with the logits resident on the GPU. */
async function measureKernel(router: WebGpuRouter, tokens: number): Promise<number | null> {
  const { gpuDevice } = router;
  if (!gpuDevice.features.has('timestamp-query')) return null;
  const { experts, topK, logitsDtype } = router.config;
  const logits = encodeLogits(logitsOf(experts, tokens), logitsDtype);
  const buffers = {
    logits: gpuDevice.createBuffer({ size: Math.ceil(logits.byteLength / 16) * 16, usage: STORAGE_COPY_DST }),
    weights: gpuDevice.createBuffer({ size: tokens * topK * 4, usage: STORAGE }),
    ids: gpuDevice.createBuffer({ size: tokens * topK * 4, usage: STORAGE }),
    resolved: gpuDevice.createBuffer({ size: 256, usage: QUERY_RESOLVE_COPY_SRC }),
    readback: gpuDevice.createBuffer({ size: 256, usage: MAP_READ_COPY_DST }),
  };
  const querySet = gpuDevice.createQuerySet({ type: 'timestamp', count: 2 });
  gpuDevice.queue.writeBuffer(buffers.logits, 0, new Uint8Array(logits.buffer as ArrayBuffer));
  const ranges = {
    logits: { buffer: buffers.logits },
    weights: { buffer: buffers.weights },
    ids: { buffer: buffers.ids },
  };
  const times: number[] = [];
  for (let repeat = 0; repeat < REPEATS + 1; repeat++) {
    const commands = gpuDevice.createCommandEncoder();
    const pass = commands.beginComputePass({
      timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    });
    for (let i = 0; i < DISPATCHES; i++) router.encode(pass, ranges, { tokens });
    pass.end();
    commands.resolveQuerySet(querySet, 0, 2, buffers.resolved, 0);
    commands.copyBufferToBuffer(buffers.resolved, 0, buffers.readback, 0, 16);
    gpuDevice.queue.submit([commands.finish()]);
    await buffers.readback.mapAsync(1, 0, 16);
    const [start = 0n, end = 0n] = new BigInt64Array(buffers.readback.getMappedRange(0, 16));
    // The first pass warms up.
    if (repeat > 0) times.push(Number(end - start) / 1000 / DISPATCHES);
    buffers.readback.unmap();
  }
  for (const buffer of Object.values(buffers)) buffer.destroy();
  querySet.destroy();
  return median(times);
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
