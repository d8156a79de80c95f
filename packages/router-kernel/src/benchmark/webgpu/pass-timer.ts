/** GPU time of compute passes, by timestamp queries. */

/** GPUBufferUsage. */
const QUERY_RESOLVE_COPY_SRC = 0x204;
const MAP_READ_COPY_DST = 0x9;

/** Times passes of many dispatches on one device. Only on devices that have the feature `timestamp-query`. */
export class PassTimer implements Disposable {
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

  /** Microseconds of one of so many dispatches of a pass. */
  async measure(dispatches: number, encode: (pass: GPUComputePassEncoder) => void): Promise<number> {
    const commands = this.#gpuDevice.createCommandEncoder();
    const pass = commands.beginComputePass({
      timestampWrites: { querySet: this.#querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    });
    for (let i = 0; i < dispatches; i++) encode(pass);
    pass.end();
    commands.resolveQuerySet(this.#querySet, 0, 2, this.#resolved, 0);
    commands.copyBufferToBuffer(this.#resolved, 0, this.#readback, 0, 16);
    this.#gpuDevice.queue.submit([commands.finish()]);
    await this.#readback.mapAsync(1, 0, 16);
    const [start = 0n, end = 0n] = new BigInt64Array(this.#readback.getMappedRange(0, 16));
    this.#readback.unmap();
    return Number(end - start) / 1000 / dispatches;
  }

  [Symbol.dispose](): void {
    this.#querySet.destroy();
    this.#resolved.destroy();
    this.#readback.destroy();
  }
}
