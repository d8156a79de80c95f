import assert from 'node:assert/strict';
import { harmonyTokens, openSnapshot, type Snapshot } from '@switchyard/models';
import fc from 'fast-check';
import {
  AnswerConstraint,
  type AnswerConstraintSpec,
  needsConstraint,
} from '../../src/constraint/answer-constraint.ts';
import { JsonGrammars } from '../../src/constraint/grammar/json-grammar.ts';
import { allowsToken } from '../../src/sampling/token-mask.ts';

const WEATHER_SCHEMA = JSON.stringify({
  type: 'object',
  properties: { location: { type: 'string' }, unit: { enum: ['celsius', 'fahrenheit'] } },
  required: ['location'],
  additionalProperties: false,
});

const spec = (changes: Partial<AnswerConstraintSpec>): AnswerConstraintSpec => ({
  toolChoice: 'auto',
  tools: [{ name: 'get_weather', schema: WEATHER_SCHEMA, strict: false }],
  finalJson: null,
  recipientPlacement: 'channel',
  ...changes,
});

describe('AnswerConstraint', () => {
  let snapshot: Snapshot;
  let grammars: JsonGrammars;

  before(async () => {
    snapshot = await openSnapshot();
    const { tokenizer } = snapshot;
    grammars = await JsonGrammars.create(tokenizer);
  });
  after(() => {
    grammars[Symbol.dispose]();
    snapshot.dispose();
  });

  const create = (changes: Partial<AnswerConstraintSpec>): AnswerConstraint => {
    const { tokenizer } = snapshot;
    const control = harmonyTokens(tokenizer);
    return new AnswerConstraint(spec(changes), tokenizer, control, snapshot.config.vocabularySize, grammars);
  };

  /** Feeds a text and returns the position of the first token that was not allowed, or null. */
  const firstRefusal = async (constraint: AnswerConstraint, text: string): Promise<string | null> => {
    const ids = snapshot.tokenizer.encodeWithSpecialTokens(text);
    for (const id of ids) {
      await constraint.ready;
      const mask = constraint.mask();
      if (mask !== null && !allowsToken(mask, id)) return snapshot.tokenizer.decode([id]);
      constraint.accept(id);
    }
    await constraint.ready;
    return null;
  };

  const ANALYSIS = '<|channel|>analysis<|message|>The user wants the weather.<|end|><|start|>assistant';
  const CALL = '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>';

  it('needs no constraint where the model may answer as it likes', () => {
    assert.equal(needsConstraint(spec({})), false);
    assert.equal(needsConstraint(spec({ toolChoice: 'none', tools: [] })), false);
    assert.equal(needsConstraint(spec({ toolChoice: 'required' })), true);
    assert.equal(needsConstraint(spec({ finalJson: { schema: null } })), true);
  });

  it('lets a required call through, with and without analysis', async () => {
    for (const analysis of [ANALYSIS, '']) {
      using constraint = create({ toolChoice: 'required' });
      assert.equal(await firstRefusal(constraint, `${analysis}${CALL}{"location":"Paris"}<|call|>`), null);
      assert.equal(constraint.mask(), null, 'nothing is demanded after the call');
    }
  });

  it('lets the recipient stand after the role where the checkpoint writes it there', async () => {
    using constraint = create({ toolChoice: { name: 'get_weather' }, recipientPlacement: 'role' });
    const text =
      ' to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{"location":"Paris"}<|call|>';
    assert.equal(await firstRefusal(constraint, text), null);
  });

  it('refuses a final message where a call is required', async () => {
    using constraint = create({ toolChoice: 'required' });
    assert.equal(
      await firstRefusal(constraint, `${ANALYSIS}<|channel|>final<|message|>`),
      snapshot.tokenizer.decode(snapshot.tokenizer.encode('final').slice(0, 1)),
    );
  });

  it('refuses a call where tools are forbidden', async () => {
    using constraint = create({ toolChoice: 'none' });
    assert.notEqual(await firstRefusal(constraint, CALL), null);
    using other = create({ toolChoice: 'none' });
    assert.equal(await firstRefusal(other, '<|channel|>final<|message|>It rains.<|return|>'), null);
  });

  it('refuses other tools than the named one, and more than one analysis', async () => {
    const tools = [
      { name: 'get_weather', schema: WEATHER_SCHEMA, strict: false },
      { name: 'look_up', schema: null, strict: false },
    ];
    using named = create({ tools, toolChoice: { name: 'look_up' } });
    assert.notEqual(await firstRefusal(named, CALL), null);
    using twice = create({ tools, toolChoice: 'required' });
    assert.notEqual(await firstRefusal(twice, `${ANALYSIS}${ANALYSIS}`), null);
  });

  it('holds arguments and final messages to their schema, and control tokens out of them', async () => {
    for (const body of [
      '{"location":5}',
      '{"place":"Paris"}',
      'Paris',
      '{"location":"Paris"}}',
      '{"location":"<|end|>"}',
    ]) {
      using constraint = create({ toolChoice: 'required' });
      assert.notEqual(await firstRefusal(constraint, `${CALL}${body}<|call|>`), null, body);
    }
    for (const [body, allowed] of [
      ['{"a":[1,2,{"b":null}]}', true],
      ['[1]', false],
      ['{"a":1', false],
    ] as const) {
      using constraint = create({ tools: [], finalJson: { schema: null } });
      const refusal = await firstRefusal(constraint, `<|channel|>final<|message|>${body}<|return|>`);
      assert.equal(refusal === null, allowed, body);
    }
  });

  it('leaves an answer free until it calls a strict tool, and holds those arguments to the schema', async () => {
    const tools = [
      { name: 'get_weather', schema: WEATHER_SCHEMA, strict: true },
      { name: 'look_up', schema: null, strict: false },
    ];
    assert.equal(needsConstraint(spec({ tools })), true);
    const final = '<|channel|>final<|message|>{"location":5} to=functions.get_weather<|return|>';
    const preamble = '<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant';
    const other = '<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>no JSON<|call|>';
    const afterRole = ' to=functions.get_weather<|channel|>commentary json<|message|>';
    for (const text of [
      final,
      other,
      ANALYSIS + final,
      `${ANALYSIS}${preamble}${CALL}{"location":"Paris"}<|call|>`,
      `${afterRole}{"location":"Paris"}<|call|>`,
    ]) {
      using constraint = create({ tools });
      assert.equal(await firstRefusal(constraint, text), null, text);
    }
    for (const text of [`${ANALYSIS}${preamble}${CALL}{"location":5}<|call|>`, `${afterRole}{"place":"x"}<|call|>`]) {
      using constraint = create({ tools });
      assert.notEqual(await firstRefusal(constraint, text), null, text);
    }
  });

  it('always allows at least one token, and any walk inside the masks ends in JSON of the schema', async () => {
    const { tokenizer } = snapshot;
    const control = harmonyTokens(tokenizer);
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.nat()), async (choices) => {
        using constraint = create({ toolChoice: 'required' });
        const picked: number[] = [];
        for (const choice of choices) {
          await constraint.ready;
          const mask = constraint.mask();
          if (mask === null || picked.length > 400) break;
          const allowed = Array.from({ length: snapshot.config.vocabularySize }, (_, id) => id).filter((id) =>
            allowsToken(mask, id),
          );
          assert.ok(allowed.length > 0);
          // Ends are preferred, or random strings would go on for ever.
          const end = [control.call, control.end, ...tokenizer.encode('"}'), ...tokenizer.encode('"')].find((id) =>
            allowed.includes(id),
          );
          const id = end ?? allowed[choice % allowed.length];
          assert.ok(id !== undefined);
          picked.push(id);
          constraint.accept(id);
        }
        const text = tokenizer.decode(picked);
        const body = /<\|message\|>([^<]*)<\|call\|>$/.exec(text)?.[1];
        assert.ok(body !== undefined, text);
        const value: unknown = JSON.parse(body);
        assert.equal(typeof (value as { location?: unknown }).location, 'string');
      }),
      { numRuns: 15 },
    );
  });
});
