import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { resolveRouterConfig } from '../../src/resolve-config.ts';
import type { RouterConfig } from '../../src/contract.ts';
import { rankRow } from '../../src/reference.ts';
import { acceptsIds } from '../../src/suite/rank-tolerance.ts';

function accepts(config: RouterConfig, logits: readonly number[], ids: readonly number[]): boolean {
  const resolved = resolveRouterConfig(config);
  const row = Float64Array.from(logits);
  return acceptsIds(resolved, row, rankRow(resolved, row), ids);
}

describe('ids that a row may have', () => {
  const biased = { experts: 4, topK: 2, scoring: 'sigmoid' } as const;
  /** 1e-7 apart: less than the f32 rounding of a score near 0.7 with a bias near 1. */
  const near = [1, 1.0000005, 0, -1];

  it('ranking by the logit allows no swap, however close', () => {
    assert.ok(accepts({ ...biased }, near, [1, 0]));
    assert.ok(!accepts({ ...biased }, near, [0, 1]));
  });

  it('ranking by choice score allows a swap within rounding', () => {
    const config = { ...biased, correctionBias: new Float32Array(4).fill(1) };
    assert.ok(accepts(config, near, [1, 0]));
    assert.ok(accepts(config, near, [0, 1]));
    assert.ok(!accepts(config, near, [0, 2]));
    assert.ok(!accepts(config, [1, 1.001, 0, -1], [0, 1]));
  });

  it('a swap at the edge of the K is allowed too', () => {
    const config = { ...biased, topK: 1, correctionBias: new Float32Array(4).fill(1) };
    assert.ok(accepts(config, near, [0]));
    assert.ok(accepts(config, near, [1]));
    assert.ok(!accepts(config, near, [2]));
  });

  it('equal logits of equal bias keep the lower id first', () => {
    const config = { ...biased, correctionBias: new Float32Array(4).fill(1) };
    assert.ok(accepts(config, [0, 0, 0, 0], [0, 1]));
    assert.ok(!accepts(config, [0, 0, 0, 0], [1, 0]));
    assert.ok(!accepts(config, [0, 0, 0, 0], [0, 2]));
    assert.ok(!accepts(config, [NaN, NaN, 0, NaN], [2, 1]));
    assert.ok(!accepts(config, [NaN, -Infinity, NaN, NaN], [0, 1]), 'NaN never comes before a number');
  });

  it('repeats, strangers and short lists are refused', () => {
    const config = { ...biased, correctionBias: new Float32Array(4).fill(1) };
    for (const ids of [[1, 1], [1, 4], [1, -1], [1], [1, 0, 2], [1, NaN]]) assert.ok(!accepts(config, near, ids));
  });

  it('either of two groups within rounding may stay, and no third', () => {
    const config = { experts: 6, topK: 2, groups: 3, topKGroups: 1, scoring: 'sigmoid' } as const;
    const row = [1, 0.5, 1.0000001, 0.5, 0.9, 0.4];
    assert.ok(accepts(config, row, [2, 3]));
    assert.ok(accepts(config, row, [0, 1]));
    assert.ok(!accepts(config, row, [4, 5]));
    assert.ok(!accepts(config, row, [0, 2]), 'ids of two groups where one stays');
    assert.ok(!accepts(config, [1, 0.5, 1, 0.5, 0.9, 0.4], [2, 3]), 'equal groups keep the lower');
  });

  it('groups of the same two best keep the lower group, whichever of the two comes first', () => {
    const config = {
      experts: 4,
      topK: 2,
      groups: 2,
      topKGroups: 1,
      scoring: 'sigmoid',
      correctionBias: Float32Array.of(0.25, -0.25, -0.25, 0.25),
    } as const;
    const row = [0, Infinity, Infinity, 0];
    assert.ok(accepts(config, row, [0, 1]));
    assert.ok(!accepts(config, row, [2, 3]));
  });

  it('the answer of arithmetic rounded to f32 after every step is always allowed', () => {
    const logit = fc.float({ min: -8, max: 8, noNaN: true });
    const rows = fc.tuple(
      fc.array(logit, { minLength: 24, maxLength: 24 }),
      fc.array(logit, { minLength: 24, maxLength: 24 }),
    );
    fc.assert(
      fc.property(rows, ([logits, bias]) => {
        const config = { experts: 24, topK: 6, scoring: 'sigmoid', correctionBias: Float32Array.from(bias) } as const;
        const choice = logits.map((x, e) => {
          const exponential = Math.fround(Math.exp(-x));
          return Math.fround(Math.fround(1 / Math.fround(1 + exponential)) + (bias[e] ?? 0));
        });
        const ids = [...choice.keys()].sort((a, b) => (choice[b] ?? 0) - (choice[a] ?? 0) || a - b).slice(0, 6);
        assert.ok(accepts(config, logits, ids));
      }),
    );
  });
});
