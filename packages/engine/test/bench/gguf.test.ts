import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Mxfp4Tensor, decodeMxfp4, openSnapshot } from '@switchyard/models';
import { writeSnapshotAsGguf } from '../../bench/llama/snapshot-gguf.ts';

/** Reads what a GGUF file says of itself: the values that are numbers or texts, and where tensors lie. */
function readGguf(bytes: Buffer) {
  let at = 0;
  const u32 = (): number => bytes.readUInt32LE((at += 4) - 4);
  const u64 = (): number => Number(bytes.readBigUInt64LE((at += 8) - 8));
  const text = (): string => {
    const length = u64();
    return bytes.toString('utf8', at, (at += length));
  };
  const valueOf = (type: number): unknown => {
    if (type === 8) return text();
    if (type === 6) return bytes.readFloatLE((at += 4) - 4);
    if (type !== 9) return u32();
    const [element, count] = [u32(), u64()];
    return Array.from({ length: count }, () => valueOf(element));
  };
  assert.equal(bytes.toString('latin1', 0, 4), 'GGUF');
  at = 4;
  assert.equal(u32(), 3);
  const [tensorCount, valueCount] = [u64(), u64()];
  const values = new Map(Array.from({ length: valueCount }, () => [text(), valueOf(u32())]));
  const tensors = Array.from({ length: tensorCount }, () => {
    const name = text();
    const dimensions = Array.from({ length: u32() }, u64);
    return { name, dimensions, type: u32(), offset: u64() };
  });
  return { values, tensors, dataAt: Math.ceil(at / 32) * 32 };
}

describe('a snapshot as GGUF', () => {
  it('has the sizes, every tensor at a place of its own, and the values of the experts', async () => {
    using snapshot = await openSnapshot();
    const folder = mkdtempSync(join(tmpdir(), 'switchyard-gguf-'));
    try {
      const path = join(folder, 'model.gguf');
      writeSnapshotAsGguf(snapshot, path);
      const bytes = readFileSync(path);
      const { values, tensors, dataAt } = readGguf(bytes);
      const { config, weights } = snapshot;
      assert.equal(values.get('gpt-oss.embedding_length'), config.hiddenSize);
      assert.equal((values.get('tokenizer.ggml.tokens') as unknown[]).length, config.vocabularySize);
      assert.ok(tensors.every(({ offset }, index) => offset % 32 === 0 && offset > (tensors[index - 1]?.offset ?? -1)));
      assert.equal(new Set(tensors.map(({ name }) => name)).size, tensors.length);

      const weight = weights.layers[1]?.gateUp.weight as Mxfp4Tensor;
      const expected = decodeMxfp4(weight.blocks.bytes, weight.scales.bytes);
      const up = tensors.find(({ name }) => name === 'blk.1.ffn_up_exps.weight');
      assert.deepEqual(up?.dimensions, [config.hiddenSize, config.intermediateSize, config.experts]);
      // Row 5 of expert 3 is row 11 of gate and up; of each block, values 0 and 16 share the second byte.
      const first = (3 * 2 * config.intermediateSize + 11) * config.hiddenSize;
      const blocks = config.hiddenSize / 32;
      const own = dataAt + (up?.offset ?? 0) + (3 * config.intermediateSize + 5) * blocks * 17;
      const units = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
      const valueOf = (code: number, scale: number): number =>
        (code & 8 ? -1 : 1) * (units[code & 7] ?? 0) * 2 ** (scale - 127);
      const found = Array.from({ length: config.hiddenSize }, (_, column) => {
        const block = own + Math.floor(column / 32) * 17;
        const place = column % 32;
        const byte = bytes[block + 1 + (place % 16)] ?? 0;
        return valueOf(place < 16 ? byte & 15 : byte >> 4, bytes[block] ?? 0);
      });
      assert.deepEqual(
        found.map((value) => value + 0),
        Array.from(expected.subarray(first, first + config.hiddenSize), (value) => value + 0),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
