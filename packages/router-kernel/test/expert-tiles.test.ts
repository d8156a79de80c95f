import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import type { ExpertTileRows } from '../src/contract.ts';
import { buildDispatchPlan } from '../src/dispatch-plan.ts';
import { expertTileCapacity, expertTilesLength, viewExpertTiles } from '../src/expert-tiles.ts';

const HEIGHTS: readonly ExpertTileRows[] = [16, 32, 64, 128];

/** E, K, and the number of rows of each expert among T tokens that go to K experts each, or to fewer. */
const rowsOfExperts = fc
  .record({ experts: fc.integer({ min: 1, max: 12 }), tokens: fc.integer({ min: 0, max: 300 }) })
  .chain(({ experts, tokens }) =>
    fc.record({
      experts: fc.constant(experts),
      tokens: fc.constant(tokens),
      topK: fc.integer({ min: 1, max: experts }),
      rows: fc.array(fc.nat(tokens), { minLength: experts, maxLength: experts }),
    }),
  );

/** Ids of T tokens with at most so many rows for each expert: experts are dealt to tokens in turn. */
function deal(rows: readonly number[], tokens: number, topK: number): Int32Array {
  const ids = new Int32Array(tokens * topK).fill(-1);
  const taken = new Uint8Array(tokens);
  let next = 0;
  if (tokens === 0) return ids;
  for (const [expert, count] of rows.entries()) {
    for (let i = 0; i < count; i++) {
      const token = next++ % tokens;
      const slot = taken[token] ?? 0;
      if (slot === topK) continue;
      ids[token * topK + slot] = expert;
      taken[token] = slot + 1;
    }
  }
  return ids;
}

describe('expert tiles', () => {
  it('cover the rows of each expert in the order of the plan, in whole tiles and a rest', () => {
    fc.assert(
      fc.property(rowsOfExperts, fc.constantFrom(...HEIGHTS), ({ experts, tokens, topK, rows }, expertTiles) => {
        const plan = buildDispatchPlan(deal(rows, tokens, topK), experts, { experts, topK, expertTiles });
        const { counts, activeExperts, tileExperts, tileStarts } = plan.expertTiles ?? assert.fail('no tiles');
        const [active = 0, tiles = 0] = counts;
        const covered: number[][] = Array.from({ length: experts }, () => []);
        for (let tile = 0; tile < tiles; tile++) {
          const expert = tileExperts[tile] ?? NaN;
          const start = tileStarts[tile] ?? NaN;
          const end = Math.min(start + expertTiles, plan.expertOffsets[expert + 1] ?? NaN);
          assert.ok(start < end, 'no tile is empty');
          for (let at = start; at < end; at++) covered[expert]?.push(at);
        }
        for (const [expert, positions] of covered.entries()) {
          const [first = 0, end = 0] = plan.expertOffsets.subarray(expert, expert + 2);
          assert.deepEqual(
            positions,
            Array.from({ length: end - first }, (_, i) => first + i),
          );
        }
        assert.deepEqual(
          [...activeExperts.subarray(0, active)],
          [...covered.keys()].filter((expert) => (covered[expert]?.length ?? 0) > 0),
        );
        for (const rest of [activeExperts.subarray(active), tileExperts.subarray(tiles), tileStarts.subarray(tiles)]) {
          assert.ok(rest.every((value) => value === -1));
        }
        assert.equal(tileExperts.length, tileStarts.length);
      }),
    );
  });

  it('fit the capacity, which no smaller one would hold', () => {
    for (const expertTiles of HEIGHTS) {
      for (const [experts, topK] of [
        [1, 1],
        [2, 2],
        [3, 2],
        [8, 2],
      ] as const) {
        for (const tokens of [0, 1, 2, 15, 16, 17, 100, 128, 129, 300]) {
          const capacity = expertTileCapacity({ experts, topK, expertTiles }, tokens);
          assert.equal(capacity, mostTiles(experts, topK, tokens, expertTiles), `E ${experts}, K ${topK}, T ${tokens}`);
        }
      }
    }
  });

  it('lie one after the other on a device', () => {
    const shape = { experts: 4, topK: 2, expertTiles: 16 } as const;
    const lists = Int32Array.from({ length: expertTilesLength(shape, 3) }, (_, i) => i);
    const { counts, activeExperts, tileExperts, tileStarts } = viewExpertTiles(lists, shape);
    assert.deepEqual([...counts, ...activeExperts, ...tileExperts, ...tileStarts], [...lists]);
    assert.equal(tileExperts.length, expertTileCapacity(shape, 3));
    assert.equal(activeExperts.length, 4);
  });
});

/** The most tiles, by trying how many rows each expert in turn may take. */
function mostTiles(experts: number, topK: number, tokens: number, height: number): number {
  let best = new Map([[0, 0]]);
  const choices = [
    ...new Set([0, 1, tokens, ...Array.from({ length: tokens }, (_, i) => i).filter((n) => n % height === 1)]),
  ];
  for (let expert = 0; expert < experts; expert++) {
    const next = new Map<number, number>();
    for (const [used, tiles] of best) {
      for (const rows of choices) {
        const total = used + rows;
        if (rows > tokens || total > tokens * topK) continue;
        next.set(total, Math.max(next.get(total) ?? 0, tiles + Math.ceil(rows / height)));
      }
    }
    best = next;
  }
  return Math.max(...best.values());
}
