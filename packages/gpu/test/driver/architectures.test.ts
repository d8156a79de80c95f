import assert from 'node:assert/strict';
import {
  genericTargetOf,
  isGeneric,
  isSupported,
  waveSizeOf,
  withoutFeatures,
} from '../../src/driver/architectures.ts';

describe('an architecture', () => {
  it('is the same with settings and without', () => {
    assert.equal(withoutFeatures('gfx90a:sramecc+:xnack-'), 'gfx90a');
    assert.equal(withoutFeatures('gfx942:fast+'), 'gfx942:fast+');
    assert.deepEqual([waveSizeOf('gfx90a:xnack-'), waveSizeOf('gfx9-4-generic'), waveSizeOf('gfx1030')], [64, 64, 32]);
    assert.deepEqual([isSupported('gfx803:xnack-'), isSupported('gfx900:xnack+')], [false, true]);
  });

  it('belongs to one generic processor of its own wave size, or to none', () => {
    for (const [architecture, generic] of [
      ['gfx906', 'gfx9-generic'],
      ['gfx908', null],
      ['gfx90a', null],
      ['gfx942', 'gfx9-4-generic'],
      ['gfx1036', 'gfx10-3-generic'],
      ['gfx1153', 'gfx11-generic'],
      ['gfx1200', 'gfx12-generic'],
      ['gfx1250', null],
      ['sm_90', null],
    ] as const) {
      assert.equal(genericTargetOf(architecture), generic, architecture);
      if (generic === null) continue;
      assert.ok(isGeneric(generic) && !isGeneric(architecture));
      assert.equal(waveSizeOf(generic), waveSizeOf(architecture));
    }
  });
});
