import assert from 'node:assert/strict';
import { UnsupportedArchitectureError } from '../../src/driver/errors.ts';
import { compilerName, parseKernelTarget } from '../../src/kernels/kernel-target.ts';

describe('a kernel target', () => {
  for (const [text, architecture, waveSize] of [
    ['gfx900', 'gfx900', 64],
    ['gfx90a', 'gfx90a', 64],
    ['gfx942', 'gfx942', 64],
    ['gfx1030', 'gfx1030', 32],
    ['gfx1201', 'gfx1201', 32],
    ['gfx1250', 'gfx1250', 32],
    ['gfx9-generic', 'gfx9-generic', 64],
    ['gfx9-4-generic', 'gfx9-4-generic', 64],
    ['gfx10-3-generic', 'gfx10-3-generic', 32],
    ['gfx11-generic', 'gfx11-generic', 32],
    ['sm_90', 'sm_90', 32],
    ['sm_90a', 'sm_90a', 32],
    ['sm_120f', 'sm_120f', 32],
  ] as const) {
    it(`is read from ${text}`, () => {
      const target = parseKernelTarget(text);
      assert.deepEqual(target, { vendor: text.startsWith('gfx') ? 'amd' : 'nvidia', architecture, waveSize });
      assert.equal(target && compilerName(target), text);
    });
  }

  for (const [text, name] of [
    ['gfx90a:sramecc+:xnack-', 'gfx90a:sramecc+:xnack-'],
    ['gfx90a:xnack-:sramecc+', 'gfx90a:sramecc+:xnack-'],
    ['gfx942:xnack+', 'gfx942:xnack+'],
  ] as const) {
    it(`is read from ${text}, settings in the order that compilers name them`, () => {
      const target = parseKernelTarget(text);
      assert.ok(target !== null);
      assert.equal(target.architecture, name.split(':')[0]);
      assert.equal(target.waveSize, 64);
      assert.equal(compilerName(target), name);
    });
  }

  for (const text of [
    '',
    'gfx',
    'gfx9',
    'gfx8-generic',
    'gfx-generic',
    'gfx11-3-generic',
    'GFX942',
    'gfx942:',
    'gfx942:xnack',
    'gfx942:fp64+',
    'gfx90a:xnack+:xnack-',
    'sm_9',
    'x',
  ]) {
    it(`is not ${JSON.stringify(text)}`, () => assert.equal(parseKernelTarget(text), null));
  }

  it('is refused for AMD GPUs before gfx9', () => {
    for (const text of ['gfx600', 'gfx701', 'gfx803', 'gfx803:xnack-', 'gfx810']) {
      assert.throws(() => parseKernelTarget(text), UnsupportedArchitectureError, text);
    }
  });
});
