import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Budget, matches } from '../../src/constraint/language/automaton.ts';
import { RegularExpressionError } from '../../src/constraint/language/expression-program.ts';
import { stringsWith } from '../../src/constraint/language/regular-expression.ts';

/** Expressions that take longer are left to others. */
const budget = (): Budget => {
  let left = 3000;
  return {
    spend: (states) => {
      left -= states;
      if (left < 0) throw new RegularExpressionError('too large for this test');
    },
  };
};

/** Expressions of few characters, with every construct that is followed. */
const expressions = fc.letrec<{ expression: string; term: string }>((tie) => ({
  term: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(
      'a',
      'b',
      '.',
      '\\d',
      '\\w',
      '\\s',
      '\\S',
      '\\W',
      '[ab]',
      '[^a]',
      '[a-c_]',
      'é',
      '😀',
      '\\u{1F600}',
      '\\x41',
      '\\"',
    ),
    fc.constantFrom('^', '$', '\\b', '\\B'),
    tie('expression').map((inner) => `(${inner})`),
    fc
      .tuple(tie('expression'), fc.constantFrom('*', '+', '?', '{2}', '{0,2}', '{1,}', '*?', '+?'))
      .map(([inner, quantifier]) => `(?:${inner})${quantifier}`),
  ),
  expression: fc.oneof(
    { depthSize: 'small' },
    fc.array(tie('term'), { maxLength: 4 }).map((terms) => terms.join('')),
    fc.tuple(tie('expression'), tie('expression')).map((sides) => sides.join('|')),
  ),
})).expression;
const lookaheads = fc
  .tuple(expressions, fc.constantFrom('(?=', '(?!'), expressions, expressions)
  .map(([before, look, inside, after]) => `(?:${before})${look}${inside})(?:${after})`);
const texts = fc
  .array(fc.constantFrom('a', 'b', 'c', 'A', '1', '_', ' ', '\n', 'é', '😀', '"'), { maxLength: 6 })
  .map((all) => all.join(''));

describe('the strings of a regular expression', () => {
  it('are those in which JavaScript finds it', () => {
    let followed = 0;
    fc.assert(
      fc.property(fc.oneof(expressions, lookaheads), fc.array(texts, { maxLength: 12 }), (source, candidates) => {
        let automaton: ReturnType<typeof stringsWith>;
        let expression: RegExp;
        try {
          expression = new RegExp(source, 'u');
        } catch {
          // The escape that the flag does not know; what it stands for is found by code points all the same.
          expression = new RegExp(source.replaceAll('\\"', '"'), 'u');
        }
        try {
          automaton = stringsWith(source, budget());
        } catch (error) {
          // A lookahead inside of one is not followed, nor what is too large.
          if (error instanceof RegularExpressionError) return;
          throw error;
        }
        followed += 1;
        for (const text of candidates) {
          // V8 finds `\B` between the halves of a surrogate pair, where the standard does not look.
          if (source.includes('\\B') && text.includes('😀')) continue;
          assert.equal(matches(automaton, text), expression.test(text), JSON.stringify(text));
        }
      }),
      { numRuns: 250 },
    );
    assert.ok(followed > 200, `${followed} were followed`);
  });

  it('are read by code points where an escape is known without the flag u only', () => {
    for (const [source, text, isIn] of [
      ['^😀\\"$', '😀"', true],
      ['^[😀\\-]$', '😀', true],
      ['^[😀\\-]$', '-', true],
      ['^.\\@$', '😀@', true],
      ['^\\a$', 'a', true],
      ['^\\\\"$', '\\"', true],
      ['^[^\\"]$', '😀', true],
      ['^\\@😀{2}$', '@😀', false],
    ] as const) {
      assert.equal(matches(stringsWith(source, budget()), text), isIn, source);
    }
    assert.throws(() => stringsWith('\\a😀', budget()), RegularExpressionError);
  });

  it('are refused where they are not regular, or are no expression', () => {
    for (const source of ['(a)\\1', '(?<=a)b', '(?<!a)b', '(', '[b-a]', '(?<n>a)\\k<n>', 'a{9,1}', '(?i:a)']) {
      assert.throws(() => stringsWith(source, budget()), RegularExpressionError, source);
    }
    for (const depth of [2000, 5000, 20_000]) {
      const deep = `${'('.repeat(depth)}a${')'.repeat(depth)}`;
      try {
        assert.equal(matches(stringsWith(deep, budget()), 'a'), true);
      } catch (error) {
        assert.ok(error instanceof RegularExpressionError, `${depth}: ${String(error)}`);
      }
    }
  });
});
