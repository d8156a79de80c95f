import assert from 'node:assert/strict';
import { ExpectedWaits } from '../../../src/runners/hip/expected-waits.ts';
import type { Pass, PassRow } from '../../../src/runners/hip/plan-passes.ts';

const ROW: PassRow = {
  token: 0,
  position: 0,
  wanted: 'nothing',
  partials: 1,
  tables: { full: [], window: [], windowFirst: 0 },
  entry: 0,
  offset: 0,
  place: 0,
};
const passOf = (rows: number, kind: Pass['kind'] = 'vectors'): Pass => ({
  kind,
  rows: Array.from({ length: rows }, () => ROW),
});

describe('expected waits', () => {
  it('know nothing of the first pass of a kind and size, and tell kinds and sizes apart', () => {
    const waits = new ExpectedWaits();
    assert.equal(waits.of(passOf(1)), 0);
    waits.took(passOf(1), false, 1.4);
    assert.equal(waits.of(passOf(1)), 1.4);
    assert.equal(waits.of(passOf(2)), 0);
    assert.equal(waits.of(passOf(1, 'splitTiles')), 0);
    waits.took(passOf(33), false, 7);
    assert.equal(waits.of(passOf(64)), 7);
  });

  it('become a little shorter where the pass was done already, and never much longer', () => {
    const waits = new ExpectedWaits();
    waits.took(passOf(1), false, 1.4);
    waits.took(passOf(1), true, 1.4);
    const shorter = waits.of(passOf(1));
    assert.ok(shorter < 1.4 && shorter > 1.3);
    waits.took(passOf(1), false, 60);
    assert.ok(waits.of(passOf(1)) <= 1.1 * shorter);
  });

  it('come near what passes take within a few of them where the first one took much longer', () => {
    const waits = new ExpectedWaits();
    const [pass, milliseconds] = [passOf(512, 'roundedTiles'), 20];
    waits.took(pass, false, 80);
    let slept = 0;
    for (let count = 0; count < 7; count++) {
      const expected = waits.of(pass);
      slept = Math.max(expected, milliseconds);
      waits.took(pass, expected > milliseconds, slept);
    }
    assert.ok(slept < 1.1 * milliseconds, `still waits ${slept} ms`);
    // And stay there, whatever they vary by.
    for (let count = 0; count < 50; count++) {
      const [expected, took] = [waits.of(pass), milliseconds + Math.sin(count)];
      assert.ok(expected < 1.1 * milliseconds && expected > 0.6 * milliseconds, `waits ${expected} ms`);
      waits.took(pass, expected > took, Math.max(expected, took));
    }
  });
});
