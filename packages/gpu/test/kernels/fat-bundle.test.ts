import assert from 'node:assert/strict';
import { bundleEntries, packBundle, unpackBundle } from '../../src/kernels/fat-bundle.ts';

describe('an offload bundle', () => {
  it('gives back what was packed', () => {
    const objects = new Map([
      ['gfx942', Uint8Array.of(1, 2, 3)],
      ['gfx1100', new Uint8Array(5000).fill(7)],
    ]);
    const unpacked = unpackBundle(packBundle(objects));
    assert.deepEqual([...unpacked.keys()], [...objects.keys()]);
    for (const [architecture, object] of objects) {
      assert.deepEqual(new Uint8Array(unpacked.get(architecture) ?? []), object);
    }
  });

  it('tells where its objects lie by its beginning alone', () => {
    const bundle = packBundle(new Map([['gfx11-generic', Uint8Array.of(1, 2, 3)]]));
    const entries = bundleEntries(bundle.subarray(0, 200));
    const { offset, size } = entries.get('gfx11-generic') ?? assert.fail();
    assert.deepEqual(new Uint8Array(bundle.subarray(offset, offset + size)), Uint8Array.of(1, 2, 3));
    for (const bytes of [40, 80, 100]) assert.throws(() => bundleEntries(bundle.subarray(0, bytes)), RangeError);
  });

  it('must start with its magic string', () => {
    assert.throws(() => unpackBundle(new Uint8Array(64)), RangeError);
  });
});
