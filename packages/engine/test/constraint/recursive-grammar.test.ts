import assert from 'node:assert/strict';
import fc from 'fast-check';
import { JsonGrammars } from '../../src/constraint/grammar/json-grammar.ts';
import { RuleCharacters } from '../../src/constraint/matcher/rule-characters.ts';
import { ruleNetwork } from '../../src/constraint/text-grammar/rule-network.ts';
import { larkGrammar, textExpression } from '../../src/constraint/text-grammar/text-grammar.ts';
import { TextGrammarError } from '../../src/constraint/text-grammar/text-grammar-error.ts';
import { textSchema } from '../../src/constraint/text-grammar/text-schema.ts';
import { allowsToken } from '../../src/sampling/token-mask.ts';
import { checkMasks } from './check-masks.ts';

/** What a rule is made of, as the test knows it. */
type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'rule'; readonly rule: number }
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Part[] }
  | { readonly kind: 'star' | 'maybe'; readonly part: Part };

const RULES = ['start', 'a', 'b'];
const ALPHABET = 'xy()';

const part = fc.letrec<{ part: Part; leaf: Part }>((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom('x', 'y', '(', ')', 'xy', '').map((text): Part => ({ kind: 'text', text })),
    fc.nat(RULES.length - 1).map((rule): Part => ({ kind: 'rule', rule })),
  ),
  part: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    tie('leaf'),
    fc
      .tuple(fc.constantFrom('all' as const, 'any' as const), fc.array(tie('part'), { minLength: 1, maxLength: 3 }))
      .map(([kind, parts]): Part => ({ kind, parts })),
    fc
      .tuple(fc.constantFrom('star' as const, 'maybe' as const), tie('part'))
      .map(([kind, inner]): Part => ({ kind, part: inner })),
  ),
})).part;

function larkOf(one: Part): string {
  switch (one.kind) {
    case 'text':
      return one.text === '' ? '(|)' : JSON.stringify(one.text);
    case 'rule':
      return RULES[one.rule] ?? '';
    case 'all':
      return `(${one.parts.map(larkOf).join(' ')})`;
    case 'any':
      return `(${one.parts.map(larkOf).join(' | ')})`;
    case 'star':
      return `(${larkOf(one.part)})*`;
    case 'maybe':
      return `[${larkOf(one.part)}]`;
    default:
      return one satisfies never;
  }
}

const definitionOf = (rules: readonly Part[]): string =>
  rules.map((rule, at) => `${RULES[at]}: ${larkOf(rule)}`).join('\n');

/** Whether a text is one of the grammar's: every rule's ends from every place, until nothing new is found. */
function recognises(rules: readonly Part[], text: string): boolean {
  const known = rules.map(() => Array.from({ length: text.length + 1 }, () => new Set<number>()));
  const ends = (one: Part, from: number): Set<number> => {
    switch (one.kind) {
      case 'text':
        return new Set(text.startsWith(one.text, from) ? [from + one.text.length] : []);
      case 'rule':
        return known[one.rule]?.[from] ?? new Set();
      case 'all':
        return one.parts.reduce((so, next) => new Set([...so].flatMap((at) => [...ends(next, at)])), new Set([from]));
      case 'any':
        return new Set(one.parts.flatMap((next) => [...ends(next, from)]));
      case 'maybe':
        return new Set([from, ...ends(one.part, from)]);
      case 'star': {
        const found = new Set([from]);
        for (const at of found) for (const end of ends(one.part, at)) found.add(end);
        return found;
      }
      default:
        return one satisfies never;
    }
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const [at, rule] of rules.entries()) {
      for (let from = 0; from <= text.length; from += 1) {
        const set = known[at]?.[from] ?? new Set();
        const before = set.size;
        for (const end of ends(rule, from)) set.add(end);
        changed ||= set.size > before;
      }
    }
  }
  return known[0]?.[0]?.has(text.length) ?? false;
}

/** The state after a text; -1 where it is refused. */
function after(characters: RuleCharacters, text: string): number {
  let state = 0;
  for (const character of text) {
    if (state >= 0) state = characters.step(state, character.codePointAt(0) ?? 0);
  }
  return state;
}

function charactersOf(definition: string): RuleCharacters | null {
  try {
    return new RuleCharacters(ruleNetwork(larkGrammar(definition)));
  } catch (error) {
    assert.ok(error instanceof TextGrammarError && /whose texts never end/.test(error.message), String(error));
    return null;
  }
}

const TEXTS = [''];
for (let at = 0; (TEXTS[at] ?? '').length < 4; at += 1) for (const one of ALPHABET) TEXTS.push((TEXTS[at] ?? '') + one);

const ARITHMETIC = `start: expr
expr: term (("+" | "-") term)*
term: factor (("*" | "/") factor)*
factor: NUMBER | "(" expr ")"
%import common.NUMBER
%ignore " "`;
const NESTED = `start: value
value: TEXT | "[" [value ("," value)*] "]" | "{" [pair ("," pair)*] "}"
pair: TEXT ":" value
TEXT: /"[^"\\\\]*"/`;
const AMBIGUOUS = 'start: start ("+" | "-") start | "(" start ")" | /[a-zé]+/';
/** Brackets through two rules, the inner one at both of its own ends. */
const THROUGH_OTHERS = 'start: b\nb: c | b c b | "x"\nc: "<" start ">"';

describe('a grammar of rules that lead back to themselves', () => {
  it('takes what it says and nothing else', () => {
    for (const [definition, taken, refused] of [
      [ARITHMETIC, ['1', ' (1 + 2.5e3)*(3)', '((((7))))', '1-2*3/(4-5)'], ['', '(', '(1', '1)', '()', '1+', '(1)(2)']],
      [NESTED, ['[]', '{"a":["b",{}],"é":[]}', '[[[[]]]]'], ['[', '[}', '{"a"}', '["a",]', '{"a":"b"']],
      [AMBIGUOUS, ['a', 'a+b-c+d', '((é)-(b+c))'], ['a+', '+a', '(a', 'a)', '()']],
      [THROUGH_OTHERS, ['x', '<x>', 'x<x<x>x>x', '<<x>>'], ['', '<>', 'xx', '<x', 'x>']],
      ['start: a\na: b "x" | "y"\nb: a "z" | a', ['y', 'yx', 'yzx', 'yzxx'], ['', 'yz', 'yzz', 'x']],
      ['start: a\na: b\nb: a?', [''], ['x']],
      ['start: s "!"\ns: s s | "(" s ")" | ', ['!', '()!', '(()())()!'], ['', ')(!', '(!', '()']],
    ] as const) {
      assert.equal(textExpression('lark', definition), null, definition);
      const characters = charactersOf(definition);
      assert.ok(characters);
      for (const text of taken) assert.ok(characters.accepts(after(characters, text)), `${definition} takes ${text}`);
      for (const text of refused) assert.ok(!characters.accepts(after(characters, text)), `${definition}: no ${text}`);
    }
  });

  it('agrees with another reader on every short text, and every text that it begins can be ended', () => {
    fc.assert(
      fc.property(fc.tuple(part, part, part), (rules) => {
        const definition = definitionOf(rules);
        const characters = charactersOf(definition);
        const right = TEXTS.filter((text) => recognises(rules, text));
        if (characters === null) {
          assert.deepEqual(right, [], definition);
          return;
        }
        const taken = TEXTS.filter((text) => characters.accepts(after(characters, text)));
        assert.deepEqual(taken, right, definition);
        const states = new Set(TEXTS.slice(0, 21).map((text) => after(characters, text)));
        for (const state of states) assert.ok(state < 0 || canEnd(characters, state), definition);
      }),
      { numRuns: 100 },
    );
  });

  it('is followed as deep as a text goes, with as many states as there are brackets open', () => {
    const characters = charactersOf(ARITHMETIC);
    assert.ok(characters);
    const deep = '('.repeat(5000);
    const open = after(characters, deep);
    assert.ok(open >= 0 && !characters.accepts(open));
    assert.ok(characters.accepts(after(characters, `${deep}1${')'.repeat(5000)}`)));
    const ambiguous = charactersOf(AMBIGUOUS);
    assert.ok(ambiguous);
    assert.equal(after(ambiguous, 'a+b'.repeat(1000)), after(ambiguous, 'a+b'));
  });

  it('gives masks that let through just the tokens that can be read', async () => {
    const words = [
      ['{"input"', ':', ': "', '"}', ')"}', '))', ')+(', '(a', 'é', '1)', '+1', '"],', '["', '\\"', '\\"]', ']]'],
      ['\\u0028', '\\u00', '28', '+b)"}', 'ab', 'a+', '(1+2)*', '}', '\\"}', '\\":[', ',\\"', ') ', '"} '],
    ];
    const pieces = [Array.from({ length: 95 }, (_, at) => String.fromCharCode(32 + at)), ...words]
      .flat()
      .map((text) => Buffer.from(text));
    // Bytes inside of a character.
    const vocabulary = [...pieces, Buffer.from([0xc3]), Buffer.from([0xa9])];
    const grammars = await JsonGrammars.create({
      vocabularySize: vocabulary.length,
      tokenBytes: (id) => vocabulary[id] ?? new Uint8Array(),
      isSpecial: () => false,
    });
    for (const [definition, text] of [
      [ARITHMETIC, '(1+2)*((3) / 4)'],
      [NESTED, '{"a":["b",[[]]]}'],
      [AMBIGUOUS, '(ab+(é))-b'],
      [THROUGH_OTHERS, 'x<x>x'],
    ] as const) {
      await checkMasks(grammars, vocabulary, textSchema(definition), JSON.stringify({ input: text }));
    }
  });

  it('goes on with the same masks where what was found for a long text is forgotten', async () => {
    const vocabulary = ['{"input":"', '('.repeat(500), ')'.repeat(500), '(', ')', '1', '"}', '1)'].map((text) =>
      Buffer.from(text),
    );
    const grammars = await JsonGrammars.create({
      vocabularySize: vocabulary.length,
      tokenBytes: (id) => vocabulary[id] ?? new Uint8Array(),
      isSpecial: () => false,
    });
    const body = await grammars.start(textSchema(ARITHMETIC));
    const write = async (id: number, times = 1): Promise<string> => {
      for (let time = 0; time < times; time += 1) assert.ok(await body.accept(id));
      const { mask, endAllowed } = await body.next();
      return `${vocabulary.flatMap((_, token) => (allowsToken(mask, token) ? [token] : [])).join()} ${endAllowed}`;
    };
    await write(0);
    const inside = await write(1);
    // Some 120,000 places.
    assert.equal(await write(1, 79), inside);
    assert.equal(inside, '1,3,5,7 false');
    assert.equal(await write(5), '2,4,5,7 false');
    assert.equal(await write(2, 79), '2,4 false');
    assert.equal(await write(2), '6 false');
    assert.equal(await write(6), ' true');
  });

  it('refuses by name what it cannot follow', () => {
    for (const [definition, reason] of [
      ['start: "a" start', /start, whose texts never end/],
      ['start: ("a" start)+', /start, whose texts never end/],
      ['start: "(" start ")" | A\nA: "a" A | "b"', /A, which leads back to itself/],
      ['start: "(" start ")" | b', /b, which is not defined/],
      [String.raw`start: "(" start ")" | /\bx/`, /word boundary/],
      ['start: "(" start ")" | /^x/', /an anchor/],
      ['start: "(" start ")" | /(a)\\1/', /\\1/],
      [`start: "(" start ")" | /${'[a-z]{1000}'.repeat(300)}/`, /too many states/],
    ] as const) {
      assert.throws(
        () => ruleNetwork(larkGrammar(definition)),
        (error) => error instanceof TextGrammarError && reason.test(error.message),
        definition.slice(0, 60),
      );
    }
  });
});

/** Whether a text can be brought to its end from here. */
function canEnd(characters: RuleCharacters, from: number): boolean {
  const found = new Set([from]);
  for (const state of found) {
    if (characters.accepts(state)) return true;
    for (const one of ALPHABET) {
      const next = characters.step(state, one.charCodeAt(0));
      if (next >= 0) found.add(next);
    }
    if (found.size > 20_000) return false;
  }
  return false;
}
