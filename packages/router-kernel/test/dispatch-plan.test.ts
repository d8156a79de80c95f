import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { buildDispatchPlan, buildDispatchPlanInto } from '../src/dispatch-plan.ts';
import { InvalidArgumentError } from '../src/errors.ts';

const idsOfShape = fc
  .integer({ min: 1, max: 40 })
  .chain((experts) =>
    fc.tuple(fc.constant(experts), fc.array(fc.integer({ min: -1, max: experts - 1 }), { maxLength: 200 })),
  );

describe('buildDispatchPlan', () => {
  it('lists each slot once, under its expert, in rising order', () => {
    fc.assert(
      fc.property(idsOfShape, ([experts, ids]) => {
        const { expertOffsets, sortedSlots } = buildDispatchPlan(Int32Array.from(ids), experts);
        const expected = Array.from({ length: experts }, (_, expert) =>
          [...ids.keys()].filter((slot) => ids[slot] === expert),
        );
        assert.equal(expertOffsets.length, experts + 1);
        assert.equal(sortedSlots.length, ids.length);
        for (const [expert, slots] of expected.entries()) {
          assert.deepEqual([...sortedSlots.subarray(expertOffsets[expert], expertOffsets[expert + 1])], slots);
        }
        const planned = expected.flat().length;
        assert.equal(expertOffsets[0], 0);
        assert.equal(expertOffsets[experts], planned);
        assert.ok(sortedSlots.subarray(planned).every((slot) => slot === -1));
      }),
    );
  });

  it('reads i32, u32 and i64 alike', () => {
    const ids = [3, -1, 0, 3, 1, -1];
    const plan = buildDispatchPlan(Int32Array.from(ids), 4);
    assert.deepEqual(buildDispatchPlan(Uint32Array.from(ids), 4), plan);
    assert.deepEqual(buildDispatchPlan(BigInt64Array.from(ids, BigInt), 4), plan);
    assert.deepEqual([...plan.expertOffsets], [0, 1, 2, 2, 4]);
    assert.deepEqual([...plan.sortedSlots], [2, 4, 0, 3, -1, -1]);
  });

  it('refuses ids out of range', () => {
    for (const id of [4, -2]) {
      assert.throws(
        () => buildDispatchPlan(Int32Array.of(0, id), 4),
        (error: unknown) => {
          assert.ok(error instanceof InvalidArgumentError);
          assert.match(error.message, new RegExp(`found ${id} in slot 1`));
          return true;
        },
      );
    }
  });

  it('writes nothing past the slots of the call, and needs room for them', () => {
    const plan = { expertOffsets: new Int32Array(3), sortedSlots: new Int32Array(6).fill(77) };
    buildDispatchPlanInto(Int32Array.of(1, 0, -1, 1), 3, plan);
    assert.deepEqual([...plan.expertOffsets], [0, 1, 2]);
    assert.deepEqual([...plan.sortedSlots], [1, 0, -1, 77, 77, 77]);
    assert.throws(() => buildDispatchPlanInto(new Int32Array(7), 7, plan), InvalidArgumentError);
    assert.throws(() => buildDispatchPlanInto(new Int32Array(2), 3, plan), InvalidArgumentError);
  });
});
