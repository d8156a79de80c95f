import assert from 'node:assert/strict';
import { compressArchive, decompressArchive, packObjects, unpackObjects } from '../../src/kernels/object-archive.ts';

const OBJECTS = [
  { identity: 'one', keys: ['a', 'b'], code: Uint8Array.of(1, 2, 3) },
  { identity: 'two', keys: [], code: new Uint8Array(0) },
  { identity: 'three', keys: ['c'], code: new Uint8Array(40).fill(7) },
];

describe('an archive of code objects', () => {
  it('gives back what was packed, each in memory of its own', () => {
    const archive = packObjects(OBJECTS);
    const unpacked = unpackObjects(decompressArchive(compressArchive(archive)));
    assert.deepEqual(unpacked, OBJECTS);
    for (const { code } of unpacked) assert.equal(code.byteOffset, 0);
  });

  it('is the same bytes for the same objects, which begin at multiples of 16', () => {
    const archive = packObjects(OBJECTS);
    assert.deepEqual(packObjects(OBJECTS), archive);
    assert.equal(Buffer.from(archive).indexOf(Uint8Array.of(1, 2, 3)) % 16, 0);
    assert.equal(Buffer.from(archive).indexOf(new Uint8Array(40).fill(7)) % 16, 0);
  });

  it('is refused where it is something else, or cut off', () => {
    const archive = packObjects(OBJECTS);
    for (const bytes of [new Uint8Array(0), new Uint8Array(64), archive.subarray(0, 30), archive.subarray(0, -20)]) {
      assert.throws(() => unpackObjects(bytes), RangeError);
    }
    assert.throws(() => decompressArchive(Uint8Array.of(1, 2, 3)));
  });
});
