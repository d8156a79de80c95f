/** Dispatches on a WebGPU device, on their way to being timed: checked, and repeated until a pass is long enough. */

import type { Benchmark, BenchmarkContender } from '@switchyard/gpu/benchmark';
import type { Logits } from '../../contract.ts';
import type { WebGpuRouter } from '../../webgpu/index.ts';
import { POISON, ROUTING_CHECK, routingProblems } from '../routing-check.ts';
import { PassTimer } from './pass-timer.ts';

/** How much is measured. */
export interface DispatchEffort {
  /** A pass holds so many dispatches that it lasts this long, */
  readonly passMicroseconds: number;
  /** but not more than so many. */
  readonly mostDispatches: number;
  /** The GPU works for so long before it is timed: an idle GPU lowers its clocks, and takes a while to raise them. */
  readonly warmUpMilliseconds: number;
}

/** Contenders whose buffers are the caller's to dispose of. */
export interface ReadyDispatches extends Disposable {
  readonly contenders: readonly BenchmarkContender[];
}

/** GPUBufferUsage. */
const STORAGE_COPY_SRC_DST = 0x8c;
const MAP_READ_COPY_DST = 0x9;
const WORD_BYTES = 4;
const LEAST_DISPATCHES = 3;

const EMPTY_CODE = `@group(0) @binding(0) var<storage, read_write> word: array<u32>;
@compute @workgroup_size(1) fn main() { word[0] = 1u; }`;

/**
 * The router's dispatch on logits [T, E] that are on the GPU (`webgpu`), and one of one workgroup that stores one word
 * (`webgpu_empty`): what WebGPU takes from one dispatch to the next, which is part of the other.
 *
 * @returns null where the device cannot time passes
 */
export async function readyDispatches(
  benchmark: Benchmark,
  router: WebGpuRouter,
  logits: Logits,
  effort: DispatchEffort,
): Promise<ReadyDispatches | null> {
  const { gpuDevice, config } = router;
  if (!gpuDevice.features.has('timestamp-query')) return null;
  const { experts, topK, logitsDtype: dtype } = config;
  const tokens = logits.length / experts;
  const outputBytes = tokens * topK * WORD_BYTES;
  const timer = new PassTimer(gpuDevice);
  const memory = new BufferSet(gpuDevice);
  const dispose = (): void => {
    timer[Symbol.dispose]();
    memory.destroy();
  };
  try {
    const ranges = {
      logits: { buffer: memory.create(logits.byteLength) },
      weights: { buffer: memory.create(outputBytes) },
      ids: { buffer: memory.create(outputBytes) },
    };
    gpuDevice.queue.writeBuffer(ranges.logits.buffer, 0, new Uint8Array(logits.buffer as ArrayBuffer));
    const route = (pass: GPUComputePassEncoder): void => router.encode(pass, ranges, { tokens });
    const word = memory.create(WORD_BYTES);
    const empty = emptyDispatch(gpuDevice, word);

    const subject = `(${experts}, ${topK}) ${dtype} T = ${tokens}, path ${router.path}`;
    const check = await benchmark.check(`webgpu ${subject}`, ROUTING_CHECK, async () => {
      for (const { buffer } of [ranges.weights, ranges.ids]) {
        gpuDevice.queue.writeBuffer(buffer, 0, new Uint8Array(outputBytes).fill(POISON));
      }
      runPass(gpuDevice, route);
      const weights = new Float32Array(await memory.read(ranges.weights.buffer, outputBytes));
      const ids = new Int32Array(await memory.read(ranges.ids.buffer, outputBytes));
      return routingProblems({ experts, topK, dtype }, logits, { weights, ids });
    });
    const emptyCheck = await benchmark.check('webgpu_empty', 'the word that it stores with 1', async () => {
      runPass(gpuDevice, empty);
      const [stored] = new Uint32Array(await memory.read(word, WORD_BYTES));
      return stored === 1 ? [] : [`the word is ${stored}`];
    });
    const contenders = [
      { name: 'webgpu', check, sample: await passSampler(timer, effort, route) },
      { name: 'webgpu_empty', check: emptyCheck, sample: await passSampler(timer, effort, empty) },
    ];
    return { contenders, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** Finds how many dispatches fill a pass and warms the GPU up. A turn is a pass, after one that does not count. */
async function passSampler(
  timer: PassTimer,
  { passMicroseconds, mostDispatches, warmUpMilliseconds }: DispatchEffort,
  encode: (pass: GPUComputePassEncoder) => void,
): Promise<() => Promise<number>> {
  await timer.measure(2, encode);
  const estimate = Math.max(await timer.measure(20, encode), 0.1);
  const dispatches = Math.max(LEAST_DISPATCHES, Math.min(mostDispatches, Math.round(passMicroseconds / estimate)));
  const end = performance.now() + warmUpMilliseconds;
  while (performance.now() < end) await timer.measure(dispatches, encode);
  return async () => {
    await timer.measure(dispatches, encode);
    return timer.measure(dispatches, encode);
  };
}

function emptyDispatch(gpuDevice: GPUDevice, buffer: GPUBuffer): (pass: GPUComputePassEncoder) => void {
  const pipeline = gpuDevice.createComputePipeline({
    layout: 'auto',
    compute: { module: gpuDevice.createShaderModule({ code: EMPTY_CODE }), entryPoint: 'main' },
  });
  const layout = pipeline.getBindGroupLayout(0);
  const bindGroup = gpuDevice.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] });
  return (pass) => {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(1);
  };
}

function runPass(gpuDevice: GPUDevice, encode: (pass: GPUComputePassEncoder) => void): void {
  const commands = gpuDevice.createCommandEncoder();
  const pass = commands.beginComputePass();
  encode(pass);
  pass.end();
  gpuDevice.queue.submit([commands.finish()]);
}

/** Buffers that are destroyed together. */
class BufferSet {
  readonly #gpuDevice: GPUDevice;
  readonly #buffers: GPUBuffer[] = [];

  constructor(gpuDevice: GPUDevice) {
    this.#gpuDevice = gpuDevice;
  }

  /** Of so many bytes, rounded up to 16. */
  create(bytes: number, usage = STORAGE_COPY_SRC_DST): GPUBuffer {
    const buffer = this.#gpuDevice.createBuffer({ size: Math.ceil(bytes / 16) * 16, usage });
    this.#buffers.push(buffer);
    return buffer;
  }

  /** A copy of the first bytes, a multiple of 4 of them. */
  async read(buffer: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    const readback = this.create(bytes, MAP_READ_COPY_DST);
    const commands = this.#gpuDevice.createCommandEncoder();
    commands.copyBufferToBuffer(buffer, 0, readback, 0, bytes);
    this.#gpuDevice.queue.submit([commands.finish()]);
    await readback.mapAsync(1, 0, bytes);
    return readback.getMappedRange(0, bytes).slice(0);
  }

  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}
