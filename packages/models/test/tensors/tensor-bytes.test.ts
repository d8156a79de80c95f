import assert from 'node:assert/strict';
import { closeSync, openSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DisposedError, FileNotReadableError, InvalidTensorDataError } from '../../src/errors.ts';
import { openSafetensors } from '../../src/files/safetensors.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';
import { readTensorBytes, readTensorBytesAsync } from '../../src/tensors/tensor-bytes.ts';
import { rowsOf } from '../../src/tensors/tensor-rows.ts';
import { withTemporaryFolder } from '../fixtures/temporary-folder.ts';
import { writeSafetensors } from '../fixtures/write-safetensors.ts';

const bytes = Uint8Array.from({ length: 96 }, (_, i) => (i * 37) % 256);

/** Writes a file whose second tensor has the bytes above as BF16 [12, 4]. */
function writeFile(folder: string): string {
  const path = join(folder, 'x.safetensors');
  writeSafetensors(
    path,
    new Map([
      ['before', { dtype: 'U8', shape: [3], bytes: Uint8Array.of(1, 2, 3) }],
      ['a', { dtype: 'BF16', shape: [12, 4], bytes }],
    ]),
  );
  return path;
}

describe('reading bytes of a tensor', () => {
  it('gives copies of the same bytes as the mapping, of rows too', async () => {
    await withTemporaryFolder((folder) => {
      using file = openSafetensors(writeFile(folder));
      const tensor = file.tensors.get('a');
      assert.ok(tensor);
      assert.deepEqual(readTensorBytes(tensor), bytes);
      assert.deepEqual(readTensorBytes(tensor, 5, 9), bytes.slice(5, 9));
      const rows = rowsOf(tensor, 2, 5, 'rows');
      assert.deepEqual(readTensorBytes(rows), bytes.slice(16, 40));
      assert.deepEqual(readTensorBytes(rows, 8, 10), bytes.slice(24, 26));
      readTensorBytes(tensor).fill(0);
      assert.deepEqual(Uint8Array.from(tensor.bytes), bytes);
    });
  });

  it('copies where the tensor lies in memory', () => {
    const tensor: Tensor = { name: 'a', dtype: 'BF16', shape: [12, 4], bytes };
    const copy = readTensorBytes(tensor, 94);
    assert.deepEqual(copy, bytes.slice(94));
    assert.notEqual(copy.buffer, bytes.buffer);
  });

  it('throws, and does not end the process, when the file has become shorter', async () => {
    await withTemporaryFolder((folder) => {
      const path = writeFile(folder);
      using file = openSafetensors(path);
      const tensor = file.tensors.get('a');
      assert.ok(tensor);
      truncateSync(path, 100);
      assert.throws(() => readTensorBytes(tensor), FileNotReadableError);
      writeFileSync(path, '');
      assert.throws(() => readTensorBytes(tensor, 0, 1), FileNotReadableError);
    });
  });

  it('refuses ranges outside the tensor, and use after dispose()', async () => {
    await withTemporaryFolder((folder) => {
      const file = openSafetensors(writeFile(folder));
      const tensor = file.tensors.get('a');
      assert.ok(tensor);
      for (const [begin, end] of [
        [-1, 2],
        [0, 97],
        [5, 4],
        [0.5, 2],
        [0, Number.NaN],
      ] as const) {
        assert.throws(() => readTensorBytes(tensor, begin, end), InvalidTensorDataError);
      }
      file.dispose();
      assert.throws(() => readTensorBytes(tensor), DisposedError);
    });
  });

  it('reads side by side what it reads one after the other, of rows and of tensors in memory too', async () => {
    await withTemporaryFolder(async (folder) => {
      using file = openSafetensors(writeFile(folder));
      const tensor = file.tensors.get('a');
      assert.ok(tensor);
      const inMemory: Tensor = { name: 'a', dtype: 'BF16', shape: [12, 4], bytes };
      const targets = [96, 4, 0].map((length) => new Uint8Array(length));
      const [whole, some, none] = targets;
      assert.ok(whole !== undefined && some !== undefined && none !== undefined);
      for (const of of [tensor, inMemory]) {
        for (const target of targets) target.fill(0);
        await Promise.all([
          readTensorBytesAsync(of, 0, whole),
          readTensorBytesAsync(rowsOf(of, 2, 5, 'rows'), 8, some),
          readTensorBytesAsync(of, 96, none),
        ]);
        assert.deepEqual(whole, bytes);
        assert.deepEqual(some, bytes.slice(24, 28));
      }
      await assert.rejects(readTensorBytesAsync(tensor, 1, whole), InvalidTensorDataError);
    });
  });

  it('rejects a read side by side of a file that has become shorter, and after dispose()', async () => {
    await withTemporaryFolder(async (folder) => {
      const path = writeFile(folder);
      const file = openSafetensors(path);
      const tensor = file.tensors.get('a');
      assert.ok(tensor);
      truncateSync(path, 100);
      await assert.rejects(readTensorBytesAsync(tensor, 0, new Uint8Array(96)), FileNotReadableError);
      file.dispose();
      await assert.rejects(readTensorBytesAsync(tensor, 0, new Uint8Array(96)), DisposedError);
    });
  });

  it('ends reads that were under way at dispose() with their own bytes, and closes the file after them', async () => {
    await withTemporaryFolder(async (folder) => {
      const file = openSafetensors(writeFile(folder));
      const tensor = file.tensors.get('a');
      assert.ok(tensor);
      const targets = Array.from({ length: 16 }, () => new Uint8Array(96));
      const reads = targets.map((target) => readTensorBytesAsync(tensor, 0, target));
      file.dispose();
      // It would have the descriptor of the first, if that were closed.
      const otherPath = join(folder, 'other');
      writeFileSync(otherPath, new Uint8Array(4096));
      const other = openSync(otherPath, 'r');
      await Promise.all(reads);
      closeSync(other);
      for (const target of targets) assert.deepEqual(target, bytes);
    });
  });
});
