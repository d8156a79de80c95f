import assert from 'node:assert/strict';
import { routeFour } from '../../src/cpu/softmax-of-four.ts';
import { selectFromValues } from '../../src/cpu/top-k-selection.ts';
import { WeightWriter } from '../../src/cpu/weights.ts';
import { resolveRouterConfig } from '../../src/resolve-config.ts';
import { seededRandom } from '../../src/suite/seeded-random.ts';

const EXPERTS = 33;
const START = 3;
const OUT_START = 5;
/** Few values, so that many are equal, with those that rank in ways of their own. */
const VALUES = [-2, -1, -0.5, -0, 0, 0.25, 1, 1.5, 3, 90, 1e38, -1e38, 1e-45];
const UNUSUAL = [NaN, Infinity, -Infinity];

describe('the four largest of a row at once', () => {
  const random = seededRandom('the four largest');
  const pick = (values: readonly number[]) => values[Math.floor(random() * values.length)] as number;
  const KINDS: Readonly<Record<string, () => number>> = {
    logits: () => 4 * random() - 2,
    'equal logits': () => pick(VALUES),
    'logits that are no numbers, or infinite': () => (random() < 0.05 ? pick(UNUSUAL) : pick(VALUES)),
    'rows of hardly any numbers': () => (random() < 0.88 ? pick([NaN, -Infinity]) : random()),
  };

  for (const [kind, value] of Object.entries(KINDS)) {
    for (const scale of [1, 2.5, 3.4e38]) {
      it(`are to the bit what selection and weights make of them, or left to those: ${kind}, scale ${scale}`, () => {
        const writer = new WeightWriter(resolveRouterConfig({ experts: EXPERTS, topK: 4, routedScalingFactor: scale }));
        let done = 0;
        for (let turn = 0; turn < 400; turn++) {
          const row = Float32Array.from({ length: START + EXPERTS }, value);
          const [ids, wantedIds] = [new Int32Array(10).fill(-7), new Int32Array(10).fill(-7)];
          const [weights, wantedWeights] = [new Float32Array(10), new Float32Array(10)];
          const isDone = routeFour(row, START, EXPERTS, Math.fround(scale), ids, weights, OUT_START);
          if (isDone) {
            done++;
            selectFromValues(row, START, EXPERTS, new Float32Array(4), wantedIds, OUT_START);
            wantedIds
              .subarray(OUT_START, OUT_START + 4)
              .forEach((id, k) => (writer.winnerLogits[k] = row[START + id] as number));
            writer.write(row, START, wantedWeights, OUT_START);
          }
          assert.deepEqual(ids, wantedIds);
          assert.deepEqual(new Int32Array(weights.buffer), new Int32Array(wantedWeights.buffer));
        }
        assert.ok(done > 0, 'some rows were done');
      });
    }
  }
});
