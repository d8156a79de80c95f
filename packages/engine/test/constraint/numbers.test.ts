import assert from 'node:assert/strict';
import fc from 'fast-check';
import { matches } from '../../src/constraint/language/automaton.ts';
import { NumberLanguage, type NumberSet, StepTooFineError } from '../../src/constraint/language/numbers.ts';

const numbers = new NumberLanguage([], { spend: () => undefined });
const bounds = fc.oneof(
  fc.integer({ min: -1200, max: 1200 }),
  fc
    .tuple(fc.integer({ min: -5000, max: 5000 }), fc.constantFrom(10, 100, 1000))
    .map(([whole, places]) => whole / places),
);
/** A number's text, with zeros behind. */
const texts = fc.tuple(bounds, fc.nat({ max: 2 })).map(([number, zeros]) => {
  const text = String(number);
  return zeros === 0 ? text : `${text.includes('.') ? text : `${text}.`}${'0'.repeat(zeros)}`;
});

describe('a set of numbers', () => {
  const check = (set: NumberSet, text: string, expected: boolean): void => {
    assert.equal(matches(set.texts, text), expected, text);
    assert.equal(matches(numbers.complement(set).texts, text), !expected, text);
  };

  it('has the texts of the numbers that its bounds let through, and its complement all others', () => {
    fc.assert(
      fc.property(bounds, texts, (bound, text) => {
        const value = Number(text);
        check(numbers.equalTo(bound), text, value === bound);
        check(numbers.atLeast(bound, false), text, value >= bound);
        check(numbers.atLeast(bound, true), text, value > bound);
        check(numbers.atMost(bound, false), text, value <= bound);
        check(numbers.atMost(bound, true), text, value < bound);
        check(numbers.integers, text, Number.isInteger(value));
      }),
      { numRuns: 150 },
    );
  });

  it('has the multiples of a step, however many places it has', () => {
    const steps = fc.constantFrom(1, 2, 3, 7, 10, 25, 0.5, 0.25, 0.1, 0.01, 1.5);
    fc.assert(
      fc.property(steps, texts, (step, text) => {
        // In thousandths both are whole.
        const exact = Math.round(Number(text) * 1000) % Math.round(step * 1000) === 0;
        check(numbers.multiplesOf(step), text, exact);
      }),
      { numRuns: 150 },
    );
    assert.throws(() => numbers.multiplesOf(0.123_456_789), StepTooFineError);
  });

  it('keeps what has no short text beside the texts', () => {
    const own = new NumberLanguage([1e300, Math.PI, 2], { spend: () => undefined });
    assert.deepEqual([...own.equalTo(1e300).others], ['1e+300']);
    assert.deepEqual([...own.atMost(4, false).others], [String(Math.PI)]);
    assert.deepEqual([...own.integers.others], ['1e+300']);
    assert.deepEqual([...own.complement(own.equalTo(Math.PI)).others], ['1e+300']);
    assert.equal(own.breadth(own.all), 'all');
    assert.equal(own.breadth(own.intersection(own.integers, own.atLeast(0, false))), 'some');
  });
});
