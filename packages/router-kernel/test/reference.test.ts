import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { MAX_F32 } from '../src/contract.ts';
import type { RouteOptions, RouterConfig } from '../src/contract.ts';
import { referenceRoute } from '../src/reference.ts';

/** Routes one f32 row, and gives ids and weights as plain numbers. */
function routeRow(row: readonly number[], config: Omit<RouterConfig, 'experts'>): { ids: number[]; weights: number[] } {
  const output = referenceRoute({ experts: row.length, ...config }, Float32Array.from(row));
  return { ids: Array.from(output.ids, Number), weights: [...output.weights] };
}

function assertClose(actual: readonly number[], expected: readonly number[]): void {
  assert.equal(actual.length, expected.length);
  for (const [i, value] of expected.entries()) {
    assert.ok(
      Math.abs((actual[i] ?? NaN) - value) <= 1e-7 * Math.max(1, Math.abs(value)),
      `${actual.join()} where ${expected.join()} is due`,
    );
  }
}

/**
 * The gate of DeepSeek-V2 with `topk_method` "group_limited_greedy", in the order of its own code.
 *
 * @see MoEGate of modeling_deepseek.py in https://huggingface.co/deepseek-ai/DeepSeek-V2
 */
function groupLimitedGreedy(
  row: readonly number[],
  { topK, groups, topKGroups }: { readonly topK: number; readonly groups: number; readonly topKGroups: number },
): [ids: number[], shares: number[]] {
  const largest = Math.max(...row);
  const exponentials = row.map((logit) => Math.exp(logit - largest));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  const scores = exponentials.map((value) => value / sum);
  const size = row.length / groups;
  const best = (values: readonly number[], count: number): number[] =>
    [...values.keys()]
      // As f32, in which equal scores are equal.
      .sort((a, b) => Math.fround(values[b] ?? 0) - Math.fround(values[a] ?? 0) || a - b)
      .slice(0, count);
  const groupScores = Array.from({ length: groups }, (_, group) =>
    Math.max(...scores.slice(group * size, (group + 1) * size)),
  );
  const kept = new Set(best(groupScores, topKGroups));
  const masked = scores.map((score, expert) => (kept.has(Math.floor(expert / size)) ? score : 0));
  const ids = best(masked, topK);
  return [ids, ids.map((id) => masked[id] ?? 0)];
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const sqrtSoftplus = (x: number): number => Math.sqrt(Math.log(1 + Math.exp(x)));

describe('the oracle, rule by rule', () => {
  it('ranks by the logit: stable, -0 as +0, NaN below -Inf', () => {
    assert.deepEqual(routeRow([1, 3, 2, 3], { topK: 4 }).ids, [1, 3, 2, 0]);
    assert.deepEqual(routeRow([-0, 0, -0, 1], { topK: 4 }).ids, [3, 0, 1, 2]);
    assert.deepEqual(routeRow([NaN, -Infinity, 5, NaN, -Infinity], { topK: 5 }).ids, [2, 1, 4, 0, 3]);
  });

  it('softmax with renormalize: over the winners alone', () => {
    const { ids, weights } = routeRow([0, 2, 1, -1], { topK: 2 });
    const [a, b] = [Math.exp(2), Math.exp(1)];
    assert.deepEqual(ids, [1, 2]);
    assertClose(weights, [a / (a + b), b / (a + b)]);
  });

  it('softmax without: over the row', () => {
    const row = [0, 2, 1, -1];
    const sum = row.reduce((total, x) => total + Math.exp(x), 0);
    assertClose(routeRow(row, { topK: 2, renormalize: false }).weights, [Math.exp(2) / sum, Math.exp(1) / sum]);
  });

  it('sigmoid and sqrtsoftplus, with and without renormalize, scaled last', () => {
    const row = [0.5, -1, 2];
    for (const [scoring, score] of [
      ['sigmoid', sigmoid],
      ['sqrtsoftplus', sqrtSoftplus],
    ] as const) {
      const scores = [score(2), score(0.5)];
      const sum = score(2) + score(0.5);
      assertClose(
        routeRow(row, { topK: 2, scoring, renormalize: false, routedScalingFactor: 1.5 }).weights,
        scores.map((s) => 1.5 * s),
      );
      assertClose(
        routeRow(row, { topK: 2, scoring, routedScalingFactor: 2.5 }).weights,
        scores.map((s) => (2.5 * s) / sum),
      );
    }
  });

  it('a bias moves the ranking and leaves the weights unbiased', () => {
    const correctionBias = new Float32Array([0.9, 0, 0]);
    const { ids, weights } = routeRow([-3, 1, 0], { topK: 2, scoring: 'sigmoid', renormalize: false, correctionBias });
    assert.deepEqual(ids, [0, 1]);
    assertClose(weights, [sigmoid(-3), sigmoid(1)]);
  });

  it('a bias that outweighs every score in f32 leaves the tie rule', () => {
    const correctionBias = new Float32Array(4).fill(2 ** 24);
    assert.deepEqual(routeRow([0, 1, 2, 3], { topK: 3, scoring: 'sigmoid', correctionBias }).ids, [0, 1, 2]);
  });

  it('groups rank by the sum of their two best', () => {
    // Sums of two: 2.2 for experts 0 to 2, 2.4 for 3 to 5, though the single best is in the first.
    const row = [2, 0.2, 0.1, 1.2, 1.2, 0];
    const config = { topK: 2, groups: 2, topKGroups: 1, scoring: 'sqrtsoftplus' } as const;
    const sums = [sqrtSoftplus(2) + sqrtSoftplus(0.2), 2 * sqrtSoftplus(1.2)];
    assert.ok((sums[0] ?? 0) < (sums[1] ?? 0));
    assert.deepEqual(routeRow(row, config).ids, [3, 4]);
  });

  it('groups rank by their best alone where that is asked for', () => {
    const row = [2, 0.2, 0.1, 1.2, 1.2, 0];
    const config = { topK: 2, groups: 2, topKGroups: 1, scoring: 'sqrtsoftplus' } as const;
    assert.deepEqual(routeRow(row, { ...config, groupScore: 'max' }).ids, [0, 1]);
    assert.deepEqual(routeRow(row, { ...config, groupScore: 'top2-sum' }).ids, [3, 4]);
    // Of equal bests the lower group stays, and a NaN is the best of none.
    assert.deepEqual(routeRow([1, 2, 2, 1.5], { topK: 2, groups: 2, topKGroups: 1, groupScore: 'max' }).ids, [1, 0]);
    assert.deepEqual(routeRow([NaN, -9, -8, NaN], { topK: 1, groups: 2, topKGroups: 1, groupScore: 'max' }).ids, [2]);
  });

  it('DeepSeek-V2 is softmax, the best of each group, and the shares of the whole row', () => {
    const shape = { topK: 6, groups: 8, topKGroups: 3, renormalize: false, routedScalingFactor: 16 } as const;
    fc.assert(
      fc.property(fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 160, maxLength: 160 }), (row) => {
        const { ids, weights } = routeRow(row, { ...shape, groupScore: 'max' });
        const [expected, shares] = groupLimitedGreedy(row, shape);
        assert.deepEqual(ids, expected);
        assertClose(
          weights,
          shares.map((share) => 16 * share),
        );
      }),
    );
  });

  it('equal groups keep the lower one; groups of one rank by their only expert', () => {
    assert.deepEqual(routeRow([1, 2, 2, 1], { topK: 2, groups: 2, topKGroups: 1 }).ids, [1, 0]);
    assert.deepEqual(routeRow([1, 4, 3, 2], { topK: 2, groups: 4, topKGroups: 2, scoring: 'sigmoid' }).ids, [1, 2]);
  });

  it('a NaN ranks below everything and drags its group down', () => {
    const config = { topK: 2, groups: 2, topKGroups: 1, scoring: 'sigmoid' } as const;
    assert.deepEqual(routeRow([9, NaN, -5, -6], config).ids, [2, 3]);
    const correctionBias = new Float32Array([1e6, 0, 0]);
    assert.deepEqual(routeRow([NaN, 0, 1], { topK: 3, scoring: 'sigmoid', correctionBias }).ids, [2, 1, 0]);
  });

  it('+Inf winners share softmax weight equally', () => {
    assert.deepEqual(routeRow([Infinity, 3, Infinity, NaN], { topK: 3 }).weights, [0.5, 0.5, 0]);
    assert.deepEqual(
      routeRow([Infinity, Infinity, Infinity, Infinity], { topK: 2, renormalize: false }).weights,
      [0.25, 0.25],
    );
  });

  it('sigmoid(+Inf) is 1; sqrtsoftplus(+Inf) is the largest f32 or an equal share', () => {
    const row = [Infinity, 0, Infinity];
    assert.deepEqual(routeRow(row, { topK: 2, scoring: 'sigmoid', renormalize: false }).weights, [1, 1]);
    const config = { topK: 3, scoring: 'sqrtsoftplus' } as const;
    assert.deepEqual(routeRow(row, config).weights, [0.5, 0.5, 0]);
    const scaled = routeRow(row, { ...config, renormalize: false, routedScalingFactor: 2.5 }).weights;
    assert.deepEqual(scaled.slice(0, 2), [MAX_F32, MAX_F32]);
    assertClose(scaled.slice(2), [2.5 * sqrtSoftplus(0)]);
  });

  it('a row without a logit above -Inf gets 1 / K each, whatever the scoring', () => {
    for (const scoring of ['softmax', 'sigmoid', 'sqrtsoftplus'] as const) {
      for (const renormalize of [true, false]) {
        const { ids, weights } = routeRow([NaN, -Infinity, NaN], { topK: 2, scoring, renormalize });
        assert.deepEqual(ids, [1, 0]);
        assert.deepEqual(weights, [0.5, 0.5]);
      }
    }
  });

  it('softmax over winners that are all -Inf gives 1 / K each', () => {
    const correctionBias = new Float32Array([5, 5, 0]);
    assert.deepEqual(routeRow([-Infinity, -Infinity, 3], { topK: 2, correctionBias }).weights, [0.5, 0.5]);
    assert.deepEqual(
      routeRow([-Infinity, -Infinity, 3], { topK: 2, correctionBias, renormalize: false }).weights,
      [0, 0],
    );
  });

  it('renormalisation divides by 1e-20 at least', () => {
    const { weights } = routeRow([-60, -60], { topK: 2, scoring: 'sigmoid' });
    const score = sigmoid(-60);
    assert.ok(Math.abs((weights[0] ?? 0) / (score / 1e-20) - 1) < 1e-6);
  });

  it('padding rows and experts of other ranks are -1 with weight 0, in no plan', () => {
    const config: RouterConfig = {
      experts: 3,
      topK: 2,
      expertRange: [1, 3],
      dispatchPlan: true,
      tokenExpertIndices: true,
    };
    const logits = Float32Array.from([3, 2, 1, 1, 2, 3, 1, 2, 3, 9, 9, 9]);
    const options: RouteOptions = { paddingMask: Uint8Array.of(0, 200, 0, 0), rowCount: 3 };
    const output = referenceRoute(config, logits, options);
    const [a, b] = [Math.exp(3), Math.exp(2)];
    assert.deepEqual([...output.ids], [-1, 1, -1, -1, 2, 1, -1, -1]);
    assertClose([...output.weights], [0, b / (a + b), 0, 0, a / (a + b), b / (a + b), 0, 0]);
    assert.deepEqual([...(output.tokenExpertIndices ?? [])], [0, 4, 1, 5, 2, 6, 3, 7]);
    assert.deepEqual([...(output.dispatchPlan?.expertOffsets ?? [])], [0, 0, 2, 3]);
    assert.deepEqual([...(output.dispatchPlan?.sortedSlots ?? [])], [1, 5, 4, -1, -1, -1, -1, -1]);
  });

  it('writes -1 as 0xFFFFFFFF and -1n', () => {
    const logits = new Float32Array(2);
    const config = { experts: 2, topK: 1, expertRange: [1, 2] } as const;
    assert.deepEqual(referenceRoute({ ...config, idsDtype: 'u32' }, logits).ids, Uint32Array.of(0xffffffff));
    assert.deepEqual(referenceRoute({ ...config, idsDtype: 'i64' }, logits).ids, BigInt64Array.of(-1n));
  });
});
