import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type GpuDriver, type GpuEvent, type GpuStream, OutOfDeviceMemoryError, downloadBytes } from '@switchyard/gpu';
import { type EmulatedGpu, emulatedGpu } from '@switchyard/gpu/testing';
import { FileNotReadableError, type Tensor, openSafetensors, readFloats, tensorByteLength } from '@switchyard/models';
import { safetensorsHeader } from '@switchyard/models/testing';
import { AbortedError } from '../../../src/errors.ts';
import {
  PIECES,
  type UploadProgress,
  type WeightTransfer,
  WeightUploader,
} from '../../../src/runners/hip/weight-uploader.ts';
import { EMULATED_TARGETS } from './emulated-runner.ts';

const [target] = EMULATED_TARGETS;
const PIECE_BYTES = 2 ** 16;
/** One that ends within its third piece, and one within its second where it is widened to f32. */
const LONG = 2 * PIECE_BYTES + 4098;
const WIDENED = PIECE_BYTES / 2 + 514;

/** A device whose copies are done later: one each time that somebody asks how far it is. */
interface SlowDevice {
  readonly gpu: EmulatedGpu;
  readonly driver: GpuDriver;
  readonly stream: GpuStream;
  /** Copies that were enqueued so far. */
  readonly enqueued: () => number;
}

function slowDevice(): SlowDevice {
  const gpu = emulatedGpu({ target });
  const copies: (() => void)[] = [];
  let done = 0;
  const copyNext = (): void => copies[done++]?.();
  const driver: GpuDriver = {
    ...gpu.driver,
    copyToDevice: (...copy) => void copies.push(() => gpu.driver.copyToDevice(...copy)),
    createEvent: (options): GpuEvent => {
      let at = 0;
      return {
        ...gpu.driver.createEvent(options),
        record: () => void (at = copies.length),
        hasPassed: () => {
          if (done < at) copyNext();
          return done >= at;
        },
      };
    },
  };
  const stream: GpuStream = {
    ...gpu.driver.createStream(),
    synchronize: async () => {
      while (done < copies.length) copyNext();
    },
  };
  return { gpu, driver, stream, enqueued: () => copies.length };
}

/** Reads of tensors under way, and the most there were at once. */
class Reads {
  underWay = 0;
  most = 0;

  /** A tensor of repeatable bytes whose reads end in another order than they began. */
  tensor(name: string, elements: number, dtype: 'U8' | 'BF16' = 'U8', fails = false): Tensor {
    const bytes = new Uint8Array(elements * (dtype === 'U8' ? 1 : 2));
    for (let index = 0; index < bytes.length; index++) bytes[index] = (index * 31 + (index >> 11) + name.length) & 127;
    return {
      name,
      dtype,
      shape: [elements],
      bytes,
      readAsync: async (begin, into) => {
        this.underWay++;
        this.most = Math.max(this.most, this.underWay);
        await sleep((this.underWay * 7) % 5);
        this.underWay--;
        if (fails && begin > 0) throw new RangeError(`${name} is damaged`);
        into.set(bytes.subarray(begin, begin + into.length));
      },
    };
  }
}

const rawOf = (...tensors: Tensor[]): Uint8Array => Buffer.concat(tensors.map(({ bytes }) => bytes));
const widened = (tensor: Tensor): Uint8Array => new Uint8Array(readFloats(tensor).buffer);

/** Uploads parts, each behind the one before; returns what the device has there. */
async function upload(
  { driver, stream, enqueued }: SlowDevice,
  parts: readonly { readonly tensors: readonly Tensor[]; readonly form: 'raw' | 'f32' }[],
  afterPiece: (progress: UploadProgress) => void = () => {},
): Promise<{ readonly bytes: readonly Uint8Array[]; readonly sentAfter: readonly number[] }> {
  const sizes = parts.map(({ tensors, form }) =>
    tensors.reduce((sum, tensor) => sum + tensorByteLength(tensor) * (form === 'f32' ? 2 : 1), 0),
  );
  const buffers = sizes.map((bytes) => driver.allocate(bytes));
  const uploader = new WeightUploader(driver, stream, afterPiece, PIECE_BYTES);
  const sentAfter: number[] = [];
  const transfers = parts.map((part, index): WeightTransfer => {
    const destination = buffers[index]?.pointer ?? 0n;
    const sent = (): void => void (sentAfter[index] = enqueued());
    return { part: { ...part, bytes: sizes[index] ?? 0 }, destination, what: `part ${index}`, sent };
  });
  try {
    await uploader.upload(transfers);
    await stream.synchronize();
    const bytes: Uint8Array[] = [];
    for (const [index, { pointer }] of buffers.entries()) {
      bytes.push(new Uint8Array(await downloadBytes(driver, stream, pointer, sizes[index] ?? 0)));
    }
    return { bytes, sentAfter };
  } finally {
    await stream.synchronize();
    uploader.release();
    for (const buffer of buffers) buffer.free();
  }
}

describe('uploading weights', () => {
  it('writes every tensor to its place, in whatever order reads end and however slow the device is', async () => {
    const device = slowDevice();
    const reads = new Reads();
    const [long, short, vector, last] = [
      reads.tensor('long', LONG),
      reads.tensor('short', 3),
      reads.tensor('vector', WIDENED, 'BF16'),
      reads.tensor('last', PIECE_BYTES),
    ];
    const steps: UploadProgress[] = [];
    const parts = [
      { tensors: [long, short], form: 'raw' },
      { tensors: [vector], form: 'f32' },
      { tensors: [last, long, last, long], form: 'raw' },
    ] as const;
    const { bytes, sentAfter } = await upload(device, parts, (progress) => steps.push(progress));
    assert.ok(Buffer.from(bytes[0] ?? []).equals(rawOf(long, short)));
    assert.ok(Buffer.from(bytes[1] ?? []).equals(widened(vector)));
    assert.ok(Buffer.from(bytes[2] ?? []).equals(rawOf(last, long, last, long)));
    assert.ok(reads.most > 1 && reads.most <= PIECES, `${reads.most} reads at once`);
    const read = parts.flatMap(({ tensors }) => tensors.map(tensorByteLength)).reduce((sum, length) => sum + length);
    assert.equal(steps.at(-1)?.doneBytes, read);
    steps.forEach(({ doneBytes }, index) => assert.ok(doneBytes > (steps[index - 1]?.doneBytes ?? 0)));
    // Pieces: 3 and 1, 3 of at most half a piece, 1 + 3 + 1 + 3.
    assert.equal(steps.length, 4 + 3 + 8);
    [4, 3, 8].forEach((pieces, index) => assert.ok((sentAfter[index] ?? 0) >= pieces, `part ${index} is told early`));
    assert.equal(Math.max(...sentAfter), 15);
    assert.equal(device.gpu.allocatedBytes, 0);
    device.gpu.dispose();
  });

  it('copies tensors that lie in no file, and lets the event loop turn between them', async () => {
    const device = slowDevice();
    const { readAsync: _, ...tensor } = new Reads().tensor('memory', LONG);
    let turns = 0;
    // No timer: the whole takes less than a millisecond on a quick machine.
    const turn = (): void => {
      turns++;
      turning = setImmediate(turn);
    };
    let turning = setImmediate(turn);
    const uploaded = upload(device, [{ tensors: Array<Tensor>(4).fill(tensor), form: 'raw' }]);
    const { bytes } = await uploaded.finally(() => clearImmediate(turning));
    assert.ok(Buffer.from(bytes[0] ?? []).equals(rawOf(tensor, tensor, tensor, tensor)));
    assert.ok(turns > 1, `${turns} turns`);
    assert.equal(device.gpu.allocatedBytes, 0);
    device.gpu.dispose();
  });

  it('stops when it is given up: nothing is read, sent or held after that', async () => {
    const device = slowDevice();
    const reads = new Reads();
    const parts = Array.from({ length: 6 }, (_, index) => ({
      tensors: [reads.tensor(`tensor ${index}`, LONG)],
      form: 'raw' as const,
    }));
    let heard = 0;
    const giveUp = (): void => {
      heard++;
      if (heard === 5) throw new AbortedError('Loading');
    };
    await assert.rejects(upload(device, parts, giveUp), AbortedError);
    assert.deepEqual([heard, device.enqueued(), reads.underWay], [5, 5, 0]);
    assert.equal(device.gpu.allocatedBytes, 0);
    device.gpu.dispose();
  });

  it('rejects with the first error of a read, when all others have ended', async () => {
    const device = slowDevice();
    const reads = new Reads();
    const tensors = [reads.tensor('good', LONG), reads.tensor('bad', LONG, 'U8', true), reads.tensor('later', LONG)];
    await assert.rejects(upload(device, [{ tensors, form: 'raw' }]), /bad is damaged/);
    assert.equal(reads.underWay, 0);
    assert.equal(device.gpu.allocatedBytes, 0);
    device.gpu.dispose();
  });

  it('rejects where a file has become shorter, of raw bytes and of vectors', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'switchyard-upload-'));
    const path = join(folder, 'model.safetensors');
    const tensor = { name: 'a', dtype: 'BF16', shape: [PIECE_BYTES] } as const;
    const byteLength = 2 * PIECE_BYTES;
    const header = safetensorsHeader({
      name: 'model.safetensors',
      tensors: [{ ...tensor, byteLength, source: { name: 'a', begin: 0 } }],
    });
    for (const form of ['raw', 'f32'] as const) {
      writeFileSync(path, Buffer.concat([header, Buffer.alloc(byteLength, 7)]));
      const device = slowDevice();
      using file = openSafetensors(path);
      truncateSync(path, header.length + PIECE_BYTES + 5);
      await assert.rejects(upload(device, [{ tensors: [...file.tensors.values()], form }]), FileNotReadableError);
      assert.equal(device.gpu.allocatedBytes, 0);
      device.gpu.dispose();
    }
    rmSync(folder, { recursive: true, force: true });
  });

  for (const short of ['allocatePinned', 'createEvent'] as const) {
    it(`holds nothing where the device has no more for ${short}`, async () => {
      const device = slowDevice();
      let left = 2;
      const { driver } = device;
      const take = (kind: typeof short): void => {
        if (kind === short && left-- === 0) throw new OutOfDeviceMemoryError('hip', 1, 'none left');
      };
      const changed: GpuDriver = {
        ...driver,
        allocatePinned: (...given) => {
          take('allocatePinned');
          return driver.allocatePinned(...given);
        },
        createEvent: (...given) => {
          take('createEvent');
          return driver.createEvent(...given);
        },
      };
      const tensors = [new Reads().tensor('a', LONG), new Reads().tensor('b', LONG)];
      const parts = [{ tensors, form: 'raw' }] as const;
      await assert.rejects(upload({ ...device, driver: changed }, parts), OutOfDeviceMemoryError);
      assert.equal(device.gpu.allocatedBytes, 0);
      device.gpu.dispose();
    });
  }
});
