import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { InsufficientMemoryError } from '../../src/errors.ts';
import {
  allowanceOf,
  budgetOf,
  checkFit,
  type KvDemand,
  type MemoryAllowance,
  unplannedKvBytes,
} from '../../src/memory/load-budget.ts';
import type { LoadPlan } from '../../src/runners/load-plan.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const plan = (weightBytes: number, precision = 'exact', more: Partial<LoadPlan> = {}): LoadPlan => ({
  runner: 'stand-in',
  precision,
  weights: [{ kind: 'experts', bytes: weightBytes }],
  weightBytes,
  loadingBytes: 1e9,
  workspaceBytes: 0.3e9,
  kvBytesPerToken: 100_000,
  smallestKvBytes: 0.2e9,
  ...more,
});

const limited = (limitBytes: number): MemoryAllowance => ({ process: null, reserveBytes: 0, limitBytes });
const LEFT: KvDemand = { kvCacheBytes: undefined, mostUsefulBytes: Number.MAX_SAFE_INTEGER };

describe('what a model may take', () => {
  it('is what the process may use less a sixteenth, from 64 MiB to 1 GiB', () => {
    for (const [available, reserve] of [
      [32 * GIB, GIB],
      [16 * GIB, GIB],
      [8 * GIB, GIB / 2],
      [512 * MIB, 64 * MIB],
      [10 * MIB, 10 * MIB],
    ] as const) {
      const allowance = allowanceOf({ availableBytes: available, totalBytes: 64 * GIB }, undefined);
      assert.deepEqual([allowance.reserveBytes, allowance.limitBytes], [reserve, available - reserve]);
    }
  });

  it('is what the caller says, whatever the system says', () => {
    for (const process of [null, { availableBytes: GIB, totalBytes: GIB }]) {
      assert.deepEqual(allowanceOf(process, 3 * GIB), { process, reserveBytes: 0, limitBytes: 3 * GIB });
    }
  });

  it('has no limit where nobody says', () => {
    const allowance = allowanceOf(null, undefined);
    assert.equal(allowance.limitBytes, Number.POSITIVE_INFINITY);
    const { fits, kvBudgetBytes } = budgetOf(plan(1e12), allowance, LEFT);
    assert.deepEqual([fits, kvBudgetBytes], [true, 0.2e9]);
  });
});

describe('the budget of a load', () => {
  it('fits where weights and the larger of loading and running do', () => {
    for (const [changes, needed] of [
      [{}, 11e9],
      [{ loadingBytes: 0.1e9 }, 10.5e9],
      [{ loadingBytes: 0.1e9, smallestKvBytes: 0 }, 10.3e9],
    ] as const) {
      const { requiredBytes } = budgetOf(plan(10e9, 'exact', changes), limited(1), LEFT);
      assert.equal(requiredBytes, needed);
      assert.equal(budgetOf(plan(10e9, 'exact', changes), limited(needed), LEFT).fits, true);
      assert.equal(budgetOf(plan(10e9, 'exact', changes), limited(needed - 1), LEFT).fits, false);
    }
  });

  it('gives the KV cache two thirds of what is left, no less than the smallest and no more than is of use', () => {
    assert.equal(budgetOf(plan(10e9), limited(13.3e9), LEFT).kvBudgetBytes, 2e9);
    assert.equal(budgetOf(plan(10e9), limited(11e9), LEFT).kvBudgetBytes, Math.floor(0.7e9 / 1.5));
    assert.equal(budgetOf(plan(10e9, 'exact', { loadingBytes: 0 }), limited(10.5e9), LEFT).kvBudgetBytes, 0.2e9);
    assert.equal(budgetOf(plan(10e9), limited(90e9), { ...LEFT, mostUsefulBytes: 5e9 }).kvBudgetBytes, 5e9);
  });

  it('honours the KV cache that is asked for, and counts it', () => {
    const asked = { ...LEFT, kvCacheBytes: 4e9 };
    const budget = budgetOf(plan(10e9), limited(14.3e9), asked);
    assert.deepEqual([budget.fits, budget.requiredBytes, budget.kvBudgetBytes], [true, 14.3e9, 4e9]);
    assert.equal(budgetOf(plan(10e9), limited(14.2e9), asked).fits, false);
    const small = budgetOf(plan(10e9, 'exact', { loadingBytes: 0 }), limited(10.4e9), { ...LEFT, kvCacheBytes: MIB });
    assert.deepEqual([small.fits, small.kvBudgetBytes], [true, MIB]);
  });

  it('never hands out more than there is, whatever the sizes', () => {
    const bytes = fc.integer({ min: 0, max: 2 ** 40 });
    fc.assert(
      fc.property(bytes, bytes, bytes, bytes, bytes, bytes, (weights, loading, workspace, smallest, limit, most) => {
        const sizes = { loadingBytes: loading, workspaceBytes: workspace, smallestKvBytes: smallest };
        const demand = { kvCacheBytes: undefined, mostUsefulBytes: most };
        const { fits, kvBudgetBytes } = budgetOf(plan(weights, 'exact', sizes), limited(limit), demand);
        assert.ok(kvBudgetBytes >= smallest);
        if (fits) assert.ok(weights + Math.max(loading, workspace + kvBudgetBytes) <= limit);
      }),
    );
  });
});

describe('a model that does not fit', () => {
  const refusal = (limitBytes: number, kv: KvDemand = LEFT, int4 = plan(13e9, 'int4')): InsufficientMemoryError => {
    try {
      checkFit('gpt-oss-20b', [plan(31e9), int4], limited(limitBytes), kv);
    } catch (error) {
      assert.ok(error instanceof InsufficientMemoryError);
      return error;
    }
    return assert.fail('it fits');
  };

  it('is refused with what it takes, what there is, and the precision that would fit', () => {
    const error = refusal(15.1e9);
    assert.equal(
      error.message,
      'gpt-oss-20b does not fit the memory · found that it takes 32.0 GB with exact experts where it may take 15.1 GB · expertPrecision int4 (--expert-precision int4) takes 14.0 GB, which fits; give the process more memory, or set memoryLimitBytes (--memory-mib) where you know better',
    );
    const { name, code, demand, limitBytes, alternatives } = error;
    assert.deepEqual([name, code, limitBytes], ['InsufficientMemoryError', 'INSUFFICIENT_MEMORY', 15.1e9]);
    assert.deepEqual(demand, { precision: 'exact', requiredBytes: 32e9, kvCacheBytes: 0.2e9, fits: false });
    assert.deepEqual(alternatives, [{ precision: 'int4', requiredBytes: 14e9, kvCacheBytes: 0.2e9, fits: true }]);
  });

  it('is told when no precision would fit', () => {
    assert.match(refusal(9e9).message, /int4\) takes 14\.0 GB, which does not fit either; give/);
  });

  it('is told of no other precision where that changes nothing', () => {
    const error = refusal(9e9, LEFT, plan(31e9, 'int4'));
    assert.deepEqual(error.alternatives, []);
    assert.doesNotMatch(error.message, /int4/);
  });

  it('is told which KV cache would fit where its own is too large', () => {
    const error = refusal(33e9, { ...LEFT, kvCacheBytes: 8e9 });
    assert.match(
      error.message,
      /takes 39\.3 GB .* a KV cache of at most 1\.7 GB would fit \(kvCacheBytes, --kv-cache-mib\)/,
    );
    assert.equal(error.demand.kvCacheBytes, 8e9);
  });

  it('gives the budget where it fits', () => {
    assert.equal(checkFit('m', [plan(31e9), plan(13e9, 'int4')], limited(33e9), LEFT).kvBudgetBytes, 1_133_333_333);
  });
});

describe('the KV memory of a runner without a plan', () => {
  it('is a quarter of what the process may use, from 64 MiB to 4 GiB', () => {
    const of = (availableBytes: number): number =>
      unplannedKvBytes(allowanceOf({ availableBytes, totalBytes: availableBytes }, undefined));
    assert.deepEqual([of(64 * GIB), of(8 * GIB), of(MIB)], [4 * GIB, 1.875 * GIB, 64 * MIB]);
    assert.equal(unplannedKvBytes(allowanceOf(null, undefined)), 64 * MIB);
    assert.equal(unplannedKvBytes(allowanceOf({ availableBytes: 8 * GIB, totalBytes: 8 * GIB }, GIB)), GIB / 4);
  });
});
