import assert from 'node:assert/strict';
import { packBundle, unpackBundle } from '../../src/kernels/fat-bundle.ts';

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

  it('must start with its magic string', () => {
    assert.throws(() => unpackBundle(new Uint8Array(64)), RangeError);
  });
});
