import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import {
  DisposedError,
  DuplicateJsonKeyError,
  FileNotReadableError,
  InvalidJsonError,
  InvalidSafetensorsError,
  type SafetensorsFault,
} from '../../src/errors.ts';
import { openSafetensors, parseSafetensorsHeader } from '../../src/files/safetensors.ts';
import { tensorByteLength } from '../../src/tensors/tensor-bytes.ts';
import { DTYPE_BITS } from '../../src/tensors/tensor.ts';
import { withTemporaryFolder } from '../fixtures/temporary-folder.ts';
import { safetensorsBytes, type TensorData, writeSafetensors } from '../fixtures/write-safetensors.ts';

const entry = (dtype: string, shape: unknown, begin: unknown, end: unknown): unknown => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

function parse(header: string, dataBytes: number): ReturnType<typeof parseSafetensorsHeader> {
  const bytes = new TextEncoder().encode(header);
  return parseSafetensorsHeader(bytes, 8 + bytes.length + dataBytes, 'test.safetensors');
}

function assertFault(header: string, dataBytes: number, fault: SafetensorsFault, tensor: string | null): void {
  assert.throws(
    () => parse(header, dataBytes),
    (error: unknown) => {
      assert.ok(error instanceof InvalidSafetensorsError, String(error));
      assert.equal(error.fault, fault);
      assert.equal(error.tensor, tensor);
      assert.match(error.message, /test\.safetensors/);
      return true;
    },
  );
}

describe('safetensors header', () => {
  it('gives entries in the order of their bytes, and metadata', () => {
    const header = { b: entry('F32', [2], 4, 12), __metadata__: { format: 'pt' }, a: entry('U8', [2, 2], 0, 4) };
    const parsed = parse(JSON.stringify(header), 12);
    assert.deepEqual(
      parsed.entries.map(({ name, begin, end }) => [name, begin, end]),
      [
        ['a', 0, 4],
        ['b', 4, 12],
      ],
    );
    assert.deepEqual([...parsed.metadata], [['format', 'pt']]);
  });

  it('accepts elements of less than a byte, and metadata that is null', () => {
    const header = { codes: entry('F4', [3, 2], 0, 3), six: entry('F6_E2M3', [4], 3, 6), __metadata__: null };
    assert.deepEqual(
      parse(JSON.stringify(header), 6).entries.map(({ name }) => name),
      ['codes', 'six'],
    );
  });

  it('accepts scalars, tensors without elements, trailing spaces and no tensors at all', () => {
    const header = { empty: entry('F32', [0, 7], 0, 0), scalar: entry('I64', [], 0, 8) };
    assert.equal(parse(`${JSON.stringify(header)}    `, 8).entries.length, 2);
    assert.equal(parse('{}', 0).entries.length, 0);
  });

  const faults: readonly [string, unknown, number, SafetensorsFault, string | null][] = [
    ['offsets past the end', { a: entry('U8', [9], 0, 9) }, 8, 'past-end', 'a'],
    ['an overlap', { a: entry('U8', [4], 0, 4), b: entry('U8', [4], 2, 6) }, 6, 'overlap', 'b'],
    ['two tensors over the same bytes', { a: entry('U8', [4], 0, 4), b: entry('U8', [4], 0, 4) }, 4, 'overlap', 'b'],
    ['a hole', { a: entry('U8', [2], 0, 2), b: entry('U8', [2], 4, 6) }, 6, 'hole', 'b'],
    ['a hole before the first tensor', { a: entry('U8', [2], 2, 4) }, 4, 'hole', 'a'],
    ['bytes after the last tensor', { a: entry('U8', [2], 0, 2) }, 3, 'trailing-bytes', null],
    ['bytes and no tensor', {}, 3, 'trailing-bytes', null],
    ['a negative size', { a: entry('U8', [-2, -2], 0, 4) }, 4, 'shape', 'a'],
    ['a fraction for a size', { a: entry('U8', [1.5], 0, 2) }, 2, 'shape', 'a'],
    ['a text for a size', { a: entry('U8', ['4'], 0, 4) }, 4, 'shape', 'a'],
    ['no shape', { a: { dtype: 'U8', data_offsets: [0, 4] } }, 4, 'shape', 'a'],
    ['a size beyond 2^53', { a: entry('U8', [2 ** 60], 0, 4) }, 4, 'shape', 'a'],
    ['a product that wraps round 2^64', { a: entry('U8', [2 ** 32, 2 ** 32], 0, 0) }, 0, 'size-mismatch', 'a'],
    ['a shape of other size than the bytes', { a: entry('F32', [2], 0, 4) }, 4, 'size-mismatch', 'a'],
    ['an unknown dtype', { a: entry('F3', [8], 0, 3) }, 3, 'dtype', 'a'],
    ['a shape that is no whole bytes', { a: entry('F4', [7], 0, 4) }, 4, 'size-mismatch', 'a'],
    ['a dtype named like an object method', { a: entry('toString', [4], 0, 4) }, 4, 'dtype', 'a'],
    ['a descending pair of offsets', { a: entry('U8', [4], 4, 0) }, 4, 'offsets', 'a'],
    ['a negative offset', { a: entry('U8', [4], -4, 0) }, 4, 'offsets', 'a'],
    ['three offsets', { a: { dtype: 'U8', shape: [4], data_offsets: [0, 4, 4] } }, 4, 'offsets', 'a'],
    ['an entry that is no object', { a: 7 }, 0, 'tensor-entry', 'a'],
    ['metadata that is no object', { __metadata__: [] }, 0, 'metadata', null],
    ['metadata with a number', { __metadata__: { a: 1 } }, 0, 'metadata', null],
  ];
  for (const [what, header, dataBytes, fault, tensor] of faults) {
    it(`refuses ${what}`, () => assertFault(JSON.stringify(header), dataBytes, fault, tensor));
  }

  it('refuses a header that does not begin with an object', () => {
    assertFault('[]', 0, 'header-not-object', null);
    assertFault(' {}', 0, 'header-not-object', null);
    assertFault('', 0, 'header-not-object', null);
  });

  it('refuses a key that appears twice, however it is written', () => {
    const one = JSON.stringify(entry('U8', [1], 0, 1));
    for (const header of [`{"a":${one},"a":${one}}`, `{"a":${one},"\\u0061" : ${one}}`]) {
      assert.throws(() => parse(header, 1), DuplicateJsonKeyError);
    }
    assert.throws(() => parse('{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1), {
      code: 'DUPLICATE_JSON_KEY',
      key: 'dtype',
    });
  });

  it('refuses bytes that are no UTF-8 and text that is no JSON', () => {
    const invalid = Uint8Array.of(0x7b, 0xff, 0x7d);
    assert.throws(() => parseSafetensorsHeader(invalid, 11, 'x'), { fault: 'header-not-utf8' });
    assert.throws(() => parse('{"a":', 0), InvalidJsonError);
    assert.throws(() => parse('{'.repeat(100_000), 0), InvalidJsonError);
  });
});

describe('safetensors file', () => {
  for (const map of [undefined, null] as const) {
    const options = map === undefined ? {} : { map };
    const way = map === undefined ? 'mapped' : 'read in place';

    it(`gives back what was written, ${way}`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(tensorData(), { maxLength: 6 }), async (list) => {
          await withTemporaryFolder((folder) => {
            const path = join(folder, 'x.safetensors');
            const tensors = new Map(list.map((tensor, i) => [`tensor ${i} "\\é`, tensor]));
            writeSafetensors(path, tensors);
            using file = openSafetensors(path, options);
            assert.deepEqual([...file.tensors.keys()].sort(), [...tensors.keys()].sort());
            for (const [name, { dtype, shape, bytes }] of tensors) {
              const tensor = file.tensors.get(name);
              assert.ok(tensor);
              assert.equal(tensor.dtype, dtype);
              assert.deepEqual(tensor.shape, shape);
              assert.deepEqual(Buffer.from(tensor.bytes), Buffer.from(bytes));
            }
          });
        }),
        { numRuns: 40 },
      );
    });

    it(`refuses bytes after dispose() and keeps views alive that were taken before, ${way}`, async () => {
      await withTemporaryFolder((folder) => {
        const path = join(folder, 'x.safetensors');
        const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => i % 253);
        writeSafetensors(path, new Map([['a', { dtype: 'U8', shape: [10_000], bytes }]]));
        const file = openSafetensors(path, options);
        const tensor = file.tensors.get('a');
        assert.ok(tensor);
        const view = tensor.bytes;
        assert.equal(tensor.bytes, view);
        file.dispose();
        file.dispose();
        assert.deepEqual(Buffer.from(view), Buffer.from(bytes));
        assert.throws(() => tensor.bytes, DisposedError);
      });
    });

    it(`never writes to the file, ${way}`, async () => {
      await withTemporaryFolder((folder) => {
        const path = join(folder, 'x.safetensors');
        writeSafetensors(path, new Map([['a', { dtype: 'U8', shape: [4], bytes: Uint8Array.of(1, 2, 3, 4) }]]));
        using first = openSafetensors(path, options);
        first.tensors.get('a')?.bytes.fill(9);
        using second = openSafetensors(path, options);
        assert.deepEqual([...(second.tensors.get('a')?.bytes ?? [])], [1, 2, 3, 4]);
      });
    });
  }

  it('refuses a file cut short at every length', async () => {
    await withTemporaryFolder((folder) => {
      const header = JSON.stringify({ a: entry('U8', [4], 0, 4) });
      const whole = safetensorsBytes(header, Uint8Array.of(1, 2, 3, 4));
      const path = join(folder, 'x.safetensors');
      for (let length = 0; length < whole.length; length++) {
        writeFileSync(path, whole.subarray(0, length));
        assert.throws(() => openSafetensors(path), InvalidSafetensorsError);
      }
    });
  });

  it('refuses huge header lengths without reading them', async () => {
    await withTemporaryFolder((folder) => {
      const path = join(folder, 'x.safetensors');
      for (const length of [2n ** 64n - 1n, 2n ** 63n, 2n ** 32n, 100_000_001n]) {
        const bytes = safetensorsBytes('{}');
        new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(0, length, true);
        writeFileSync(path, bytes);
        assert.throws(() => openSafetensors(path), { fault: 'header-too-large' });
      }
      const bytes = safetensorsBytes('{}');
      bytes[0] = 3;
      writeFileSync(path, bytes);
      assert.throws(() => openSafetensors(path), { fault: 'header-past-end' });
    });
  });

  it('says which file cannot be read', async () => {
    await withTemporaryFolder((folder) => {
      assert.throws(() => openSafetensors(join(folder, 'nothing')), FileNotReadableError);
      assert.throws(() => openSafetensors(folder), FileNotReadableError);
    });
  });
});

function tensorData(): fc.Arbitrary<TensorData> {
  return fc
    .record({
      dtype: fc.constantFrom(...(Object.keys(DTYPE_BITS) as (keyof typeof DTYPE_BITS)[])),
      shape: fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 3 }),
      seed: fc.nat(250),
    })
    .map(({ dtype, shape: sizes, seed }) => {
      // Elements of less than a byte make whole bytes together.
      const shape = DTYPE_BITS[dtype] < 8 ? [...sizes, 8] : sizes;
      const length = tensorByteLength({ dtype, shape });
      return { dtype, shape, bytes: Uint8Array.from({ length }, (_, i) => (i * 31 + seed) % 256) };
    });
}
