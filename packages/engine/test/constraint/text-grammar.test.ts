import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Automaton, matches } from '../../src/constraint/language/automaton.ts';
import { stringsWith } from '../../src/constraint/language/regular-expression.ts';
import { type GrammarSyntax, textExpression } from '../../src/constraint/text-grammar/text-grammar.ts';
import { TextGrammarError } from '../../src/constraint/text-grammar/text-grammar-error.ts';
import { PATCH_GRAMMAR } from '../fixtures/patch-grammar.ts';

/** Of a grammar that is regular. */
function expressionOf(syntax: GrammarSyntax, definition: string): string {
  const expression = textExpression(syntax, definition);
  assert.ok(expression !== null, definition);
  return expression;
}

const textsOf = (syntax: GrammarSyntax, definition: string): Automaton => {
  let left = 200_000;
  return stringsWith(expressionOf(syntax, definition), {
    spend: (states) => {
      left -= states;
      if (left < 0) throw new Error(`too many states: ${definition}`);
    },
  });
};

function check(syntax: GrammarSyntax, definition: string, taken: readonly string[], refused: readonly string[]): void {
  const texts = textsOf(syntax, definition);
  for (const text of taken) assert.equal(matches(texts, text), true, `${definition} takes ${JSON.stringify(text)}`);
  for (const text of refused)
    assert.equal(matches(texts, text), false, `${definition} refuses ${JSON.stringify(text)}`);
}

describe('a grammar of free text: regular expressions', () => {
  it('match the text as a whole, in the words of Rust and Python', () => {
    check('regex', 'a|bc', ['a', 'bc'], ['', 'ab', 'abc', 'xa']);
    check('regex', '.+', ['x', 'é😀\r'], ['', 'a\nb']);
    check('regex', '(?P<year>\\d{4})-(?<month>\\d\\d)', ['2026-11'], ['2026-1', '2026-11 ']);
    check('regex', String.raw`\A"\-\x41\x{1F600}\u00e9\z`, ['"-A😀é'], ['"-A😀']);
    check('regex', String.raw`[^\]\\a-c]+`, ['xyz', 'd'], ['a', ']', '\\']);
    check('regex', String.raw`[]a-]+`, [']', 'a-]'], ['b', '']);
    check('regex', String.raw`[\w.-]+@\S+`, ['a.b-c_9@x.y'], ['a@b c', '@x']);
    check('regex', String.raw`a{2}{x}`, ['aa{x}'], ['aaa', 'aa']);
    check('regex', String.raw`\p{Lu}\pL*`, ['Äb'], ['äb']);
    check('regex', String.raw`(?!b)[a-c]+`, ['a', 'ab'], ['b', 'ba']);
  });

  it('know Unicode where something else than a class is meant: no digit of any script passes for none', () => {
    check('regex', String.raw`\D+`, ['a'], ['1', '\u0661']);
    check('regex', String.raw`[^\d]+`, ['a'], ['1', '\u0661']);
    check('regex', String.raw`[^\w]`, ['-'], ['é', '\u0661', '_']);
    check('regex', String.raw`\W`, ['-'], ['é', 'a']);
    check('regex', String.raw`(?!\d).`, ['a'], ['1', '\u0661']);
    // Some that they allow are never written.
    check('regex', String.raw`\d`, ['1'], ['\u0661', 'a']);
  });

  it('refuse by name what is not followed', () => {
    for (const [source, reason] of [
      ['(?i)abc', /\(\?i/],
      ['(?<=a)b', /lookbehind/],
      [String.raw`(a)\1`, /\\1/],
      [String.raw`\Qab\E`, /\\Q/],
      ['[[:alpha:]]', /inside a class/],
      ['[a-z&&[^b]]', /inside a class/],
      [String.raw`[\W]`, /\\W/],
      ['(a', null],
      ['a[', /ends too early/],
      ['\\', /ends too early/],
      [String.raw`\x{110000}`, /no character/],
      [`${'('.repeat(200)}a${')'.repeat(200)}`, /groups inside one another/],
      ['a++', null],
    ] as const) {
      // What the translation lets through is refused where the expression is read.
      assert.throws(() => textsOf('regex', source), reason ?? Error, source);
      if (reason !== null) assert.throws(() => textExpression('regex', source), TextGrammarError, source);
    }
  });

  it('take what JavaScript finds, for what both write alike', () => {
    const atom = fc.constantFrom('a', 'b', '[ab]', '[^a]', '.', 'é', '\\n', '\\.', '-', '\\x41', '[a-c-]');
    const expression = fc.letrec<{ all: string; one: string }>((tie) => ({
      one: fc.oneof(
        { depthSize: 'small' },
        atom,
        fc
          .tuple(tie('all'), fc.constantFrom('', '*', '+', '?', '{2}', '{0,2}', '*?'))
          .map(([all, end]) => `(${all})${end}`),
      ),
      all: fc.oneof(
        { depthSize: 'small' },
        fc.array(tie('one'), { maxLength: 3 }).map((parts) => parts.join('')),
        fc.tuple(tie('all'), tie('all')).map((sides) => sides.join('|')),
      ),
    })).all;
    const text = fc.array(fc.constantFrom('a', 'b', 'c', 'é', '\n', '.', '-', 'A', '😀'), { maxLength: 6 });
    fc.assert(
      fc.property(expression, fc.array(text, { maxLength: 10 }), (source, texts) => {
        // Its point leaves out more ends of lines, none of which is here but one.
        const whole = new RegExp(`^(?:${source})$`, 'u');
        // What the automaton makes of it has tests of its own, and takes long for some.
        const translated = new RegExp(expressionOf('regex', source), 'u');
        for (const characters of texts) {
          assert.equal(translated.test(characters.join('')), whole.test(characters.join('')), source);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('a grammar of free text: Lark', () => {
  it('follows rules, terminals, their operators and what is ignored between them', () => {
    check(
      'lark',
      `
      // arithmetic without brackets
      start: sum            -> whole
      ?sum: product (("+" | "-") product)*
      !product: NUMBER ("*" NUMBER)~0..2
      %import common.NUMBER
      %ignore " "
      `,
      ['1', '1+2', ' 1.5 * 2e3 - 4 ', '2*2*2'],
      ['', '1+', '1 2', '2*2*2*2', '1.5.'],
    );
    check(
      'lark',
      'start: "a".."c" ["x"i] WORD?\nWORD: /[d-f]+/ | "é"\n',
      ['a', 'bX', 'cxdef', 'aé'],
      ['d', 'axx', 'ab'],
    );
    check(
      'lark',
      'start: A\n  | B\n  | (A\n | B) "!"\nA: "a" // one\nB: /b#/i # another',
      ['a', 'b#', 'B#!'],
      ['b', 'ab#'],
    );
    check('lark', String.raw`start: "\"" /[^"\/]*/ "\"" "\n\\\x41"`, ['"x y"\n\\A'], ['"x"', '"/"\n\\A']);
    check(
      'lark',
      'start: item ("," item)*\nitem: CNAME "=" ESCAPED_STRING\n%import common (CNAME, ESCAPED_STRING)',
      ['a="x\\"y"', 'a="",b_1="z"'],
      ['a=x', 'a="x"y"'],
    );
    check('lark', 'start: (A | )~2\nA: "a"', ['', 'a', 'aa'], ['aaa']);
    check('lark', 'start: /./s D+\n%import common.DIGIT -> D', ['\n1', 'x23'], ['1', '']);
  });

  it('follows rules that name themselves at one end, as lists are written', () => {
    const list = ['a', 'a,a', 'a,a,a'];
    const none = ['', ',', 'a,', ',a', 'aa'];
    for (const rule of [
      'list "," "a" | "a"',
      '"a" | "a" "," list',
      '"a" ("," list)?',
      '(list ",")? "a"',
      '["a" ","] "a" | "a" "," list',
    ]) {
      check('lark', `start: list\nlist: ${rule}`, list, none);
    }
    check(
      'lark',
      'start: sum\nsum: sum ("+" | "-") product | product\nproduct: product "*" N | N\nN: /[0-9]/',
      ['1', '1+2*3-4'],
      ['1+', '*1', '12'],
    );
    check('lark', 'start: "a" start | ', ['', 'a', 'aaa'], ['b', 'ab']);
    check('lark', 'start: lines\nlines: lines line | line\nline: /[^\\n]+/ "\\n"', ['x\n', 'x\ny\n'], ['', 'x']);
  });

  it('does not let what is ignored stand inside of terminals', () => {
    check('lark', 'start: PAIR PAIR\nPAIR: "a" "b"\n%ignore /[ ]+/', ['abab', ' ab  ab '], ['a bab', 'abab,']);
  });

  it("follows the grammar of an agent's patches", () => {
    const files = [
      '*** Begin Patch\n*** Add File: src/a b.ts\n+const x = "é";\n+\n*** End Patch\n',
      '*** Begin Patch\n*** Delete File: a\n*** End Patch',
      '*** Begin Patch\n*** Update File: a\n*** Move to: b\n@@ class X\n-old\n+new\n same\n@@\n+x\n*** End of File\n*** End Patch\n',
    ];
    check('lark', PATCH_GRAMMAR, files, [
      '',
      'hello',
      '*** Begin Patch\n*** End Patch',
      `${files[1]}\n\n`,
      ` ${files[1]}`,
    ]);
  });

  it('refuses by name what is not followed, and what is none', () => {
    for (const [definition, reason] of [
      ['start.2: "a"', /priority of start/],
      ['start: A\nA.-1: "a"', /priority of A/],
      ['start: /a+?/', /lazy \?/],
      ['start: /a{1,2}?b/', /lazy \?/],
      ['start: /(?=a)./', /lookahead/],
      ['start: /(?<!a)./', /lookbehind/],
      ['start: A\nA: "a" A | "b"', /A, which leads back to itself/],
      ['root: "a"', /no rule called "start"/],
      ['start: b', /b, which is not defined/],
      ['start: "a"\nstart: "b"', /two definitions of start/],
      ['start: A\nA: b\nb: "x"', /rule b inside a terminal/],
      ['start: "a"\n%import python.NAME', /import of python/],
      ['start: "a"\n%import common.NOTHING', /common\.NOTHING/],
      ['start: "a"\n%declare X', /%declare/],
      ['start: list{"a"}\nlist{x}: x', /template list/],
      ['start: /a/x', /flag x/],
      ['start: "a" ~ 3..', /where a number/],
      ['start: "ab".."c"', /single characters/],
      ['start: ("a"', /where "\)" is due/],
      ['start "a"', /where ":" is due/],
      [`start: /[${'a-z'.repeat(8000)}]/i`, /characters/],
      ['start: "\\q"', /escape \\q/],
      ['start: `a`', /no Lark/],
      [`start: ${'('.repeat(100)}"a"${')'.repeat(100)}`, /brackets/],
      [`start: ${'"aaaaaaaa"'.repeat(4000)}`, /characters/],
    ] as const) {
      assert.throws(
        () => textExpression('lark', definition),
        (error) => error instanceof TextGrammarError && reason.test(error.message),
        definition.slice(0, 60),
      );
    }
  });

  it('never fails in another way, whatever the text', () => {
    const pieces = fc.constantFrom(
      'start',
      'A',
      ':',
      '"a"',
      '/b/',
      '(',
      ')',
      '[',
      ']',
      '|',
      '\n',
      '?',
      '*',
      '~',
      '2',
      '..',
      '->',
      '%ignore',
      '%import',
      'common',
      '.',
      'INT',
      ' ',
      '{',
      '}',
      '"',
      '/',
      '\\',
      '#',
      '!',
      ',',
    );
    const texts = fc.oneof(
      fc.array(pieces, { maxLength: 30 }).map((all) => `start: ${all.join('')}`),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(texts, fc.constantFrom('lark' as const, 'regex' as const), (definition, syntax) => {
        try {
          textExpression(syntax, definition);
        } catch (error) {
          assert.ok(error instanceof TextGrammarError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
