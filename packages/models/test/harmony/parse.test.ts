import assert from 'node:assert/strict';
import { HarmonyParseError } from '../../src/errors.ts';
import {
  type HarmonyAnswer,
  type HarmonyEvent,
  HarmonyParser,
  type HarmonyParserOptions,
  parseAnswer,
  parseMessages,
} from '../../src/gpt-oss/harmony/index.ts';
import { ByteTokenizer } from './byte-tokenizer.ts';
import { pocketTokenizer } from './pocket-dictionary.ts';

const tokenizer = new ByteTokenizer();
const newCallId = (): string => 'call';

function eventsOf(ids: readonly number[], options: HarmonyParserOptions = {}): HarmonyEvent[] {
  const parser = new HarmonyParser(tokenizer, { newCallId, ...options });
  return [...ids.flatMap((id) => parser.push(id)), ...parser.finish()];
}

/** What a consumer of the events knows of the answer, without the parser's own bookkeeping. */
function answerOfEvents(events: readonly HarmonyEvent[]): Omit<HarmonyAnswer, 'unfinished'> {
  const messages = new Map<number, { kind: string; name: string; text: string }>();
  for (const event of events) {
    if (event.type === 'message-start') {
      messages.set(event.index, { kind: event.kind, name: event.header.recipient ?? '', text: '' });
    } else if (event.type === 'content') {
      const message = messages.get(event.index);
      assert.ok(message !== undefined && event.text !== '' && event.kind === message.kind);
      message.text += event.text;
    }
  }
  const texts = (kind: string): string[] =>
    [...messages.values()].filter((message) => message.kind === kind).map(({ text }) => text);
  return {
    analysis: texts('analysis').join('\n'),
    preambles: texts('preamble'),
    final: texts('final').join('\n'),
    toolCalls: [...messages.values()]
      .filter(({ kind }) => kind === 'tool-call')
      .map(({ name, text }) => ({ id: 'call', name, arguments: text })),
  };
}

function answer(parts: Partial<HarmonyAnswer> = {}): HarmonyAnswer {
  return { analysis: '', preambles: [], final: '', toolCalls: [], unfinished: null, ...parts };
}

function call(name: string, args: string): Partial<HarmonyAnswer> {
  return { toolCalls: [{ id: 'call', name, arguments: args }] };
}

/** Streams that are harmony: strict mode reads them as well. */
const VALID: readonly (readonly [name: string, text: string, expected: HarmonyAnswer])[] = [
  [
    'simple_reasoning_response',
    '<|channel|>analysis<|message|>Simple sum.<|end|><|start|>assistant<|channel|>final<|message|>2 + 2 = 4.<|return|>',
    answer({ analysis: 'Simple sum.', final: '2 + 2 = 4.' }),
  ],
  [
    'tool_call_with_channel_before_recipient',
    '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"place":"Oslo"}<|call|>',
    answer(call('get_weather', '{"place":"Oslo"}')),
  ],
  [
    'tool_call_with_recipient_in_role',
    ' to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{"place":"Oslo"}<|call|>',
    answer(call('get_weather', '{"place":"Oslo"}')),
  ],
  [
    'tool_call_with_constrain_marker_adjacent',
    ' to=functions.get_weather<|channel|>commentary<|constrain|>json<|message|>{}<|call|>',
    answer(call('get_weather', '{}')),
  ],
  [
    'tool_call_with_channel_before_recipient_and_constrain_adjacent',
    '<|channel|>commentary to=functions.get_weather<|constrain|>json<|message|>{}<|call|>',
    answer(call('get_weather', '{}')),
  ],
  [
    'tool_call_with_a_bare_content_type',
    '<|channel|>analysis to=functions.run code<|message|>1 + 1<|call|>',
    answer(call('run', '1 + 1')),
  ],
  [
    'preamble before a call',
    '<|channel|>analysis<|message|>Two files.<|end|><|start|>assistant<|channel|>commentary<|message|>1. A\n2. B<|end|>' +
      '<|start|>assistant<|channel|>commentary to=functions.make<|constrain|>json<|message|>{"f":"A"}<|call|>',
    answer({ analysis: 'Two files.', preambles: ['1. A\n2. B'], ...call('make', '{"f":"A"}') }),
  ],
  [
    'two calls',
    '<|channel|>commentary to=functions.a <|constrain|>json<|message|>1<|call|>' +
      '<|start|>assistant<|channel|>commentary to=functions.b <|constrain|>json<|message|>2<|call|>',
    answer({
      toolCalls: [
        { id: 'call', name: 'a', arguments: '1' },
        { id: 'call', name: 'b', arguments: '2' },
      ],
    }),
  ],
  [
    'a final answer in a constrained format',
    '<|channel|>final <|constrain|>json<|message|>{"a":"é😀"}<|return|>',
    answer({ final: '{"a":"é😀"}' }),
  ],
  [
    'the end of the stream inside content',
    '<|channel|>analysis<|message|>Let me th',
    answer({ analysis: 'Let me th', unfinished: 'analysis' }),
  ],
  ['an empty stream', '', answer()],
  ['an empty message', '<|channel|>final<|message|><|return|>', answer()],
  ['a byte order mark', '<|channel|>final<|message|>\uFEFFx\uFEFF<|return|>', answer({ final: '\uFEFFx\uFEFF' })],
];

/** Streams that are not, and what is read out of them. */
const MALFORMED: readonly (readonly [name: string, text: string, expected: HarmonyAnswer])[] = [
  [
    'streamable_parser_missing_message_token',
    '<|channel|>final Paris is it.<|return|>',
    answer({ final: 'Paris is it.' }),
  ],
  ['missing message token, analysis', '<|channel|>analysis Let me see.<|end|>', answer({ analysis: 'Let me see.' })],
  [
    'missing message token, call',
    '<|channel|>commentary to=functions.f <|constrain|>json{"a": 1}<|call|>',
    answer(call('f', '{"a": 1}')),
  ],
  [
    'missing message token, call, no content',
    '<|channel|>commentary to=functions.f json<|call|>',
    answer(call('f', '{}')),
  ],
  [
    'missing message token, then a whole message',
    '<|channel|>ana<|start|>assistant<|channel|>final<|message|>x<|return|>',
    answer({ final: 'x' }),
  ],
  [
    'missing_message_token, no header, then whole messages',
    'I must refuse<|end|><|start|>assistant<|channel|>analysis<|message|>So I do.<|end|>' +
      '<|start|>assistant<|channel|>final<|message|>No.<|return|>',
    answer({ analysis: 'I must refuse\nSo I do.', final: 'No.' }),
  ],
  [
    'missing_message_token_other_initial_headers',
    '<|channel|>analysis I must refuse<|end|><|start|>assistant<|channel|>final<|message|>No.<|return|>',
    answer({ analysis: 'I must refuse', final: 'No.' }),
  ],
  [
    'missing_message_token_tool_call',
    "... Let's use the tool.<|end|><|start|>assistant to=functions.f<|channel|>commentary json<|message|>{}<|call|>",
    answer({ analysis: "... Let's use the tool.", ...call('f', '{}') }),
  ],
  ['no header at all', 'Paris is it.<|return|>', answer({ final: 'Paris is it.' })],
  ['no header, a function named', 'functions.f is it.<|return|>', answer({ final: 'functions.f is it.' })],
  [
    'no message token, recipient without to=',
    '<|channel|>commentary functions.f json{}<|call|>',
    answer(call('f', '{}')),
  ],
  ['no header and no end', 'Paris is', answer({ final: 'Paris is' })],
  ['only a message token', '<|message|>Paris<|return|>', answer({ final: 'Paris' })],
  ['the role again', 'assistant<|channel|>final<|message|>x<|return|>', answer({ final: 'x' })],
  [
    'missing start token',
    '<|channel|>analysis<|message|>a<|end|>assistant<|channel|>final<|message|>b<|return|>',
    answer({ analysis: 'a', final: 'b' }),
  ],
  [
    'missing start token and role',
    '<|channel|>analysis<|message|>a<|end|><|channel|>final<|message|>b<|return|>',
    answer({ analysis: 'a', final: 'b' }),
  ],
  [
    'missing end token',
    '<|channel|>analysis<|message|>a<|start|>assistant<|channel|>final<|message|>b<|return|>',
    answer({ analysis: 'a', final: 'b' }),
  ],
  [
    'a new header inside content',
    '<|channel|>analysis<|message|>a<|channel|>final<|message|>b<|return|>',
    answer({ analysis: 'a', final: 'b' }),
  ],
  [
    'stray markers in content',
    '<|channel|>final<|message|>a<|constrain|>b<|message|>c<|reserved_1|>d<|return|>',
    answer({ final: 'abcd' }),
  ],
  ['end of text', '<|channel|>final<|message|>a<|endoftext|><|endoftext|>', answer({ final: 'a' })],
  ['two returns', '<|channel|>final<|message|>a<|return|><|return|>', answer({ final: 'a' })],
  ['unknown channel', '<|channel|>musings<|message|>a<|end|>', answer({ analysis: 'a' })],
  ['empty channel', '<|channel|><|message|>a<|return|>', answer({ final: 'a' })],
  [
    'channel with something glued to it',
    '<|channel|>commentaryto=functions.f json<|message|>{}<|call|>',
    answer(call('f', '{}')),
  ],
  ['channel in capitals', '<|channel|>Final<|message|>a<|return|>', answer({ final: 'a' })],
  [
    'channel twice',
    '<|channel|>commentary to=functions.f<|channel|>commentary json<|message|>{}<|call|>',
    answer(call('f', '{}')),
  ],
  [
    'recipient twice',
    ' to=functions.f<|channel|>commentary to=functions.f json<|message|>{}<|call|>',
    answer(call('f', '{}')),
  ],
  [
    'words in the header',
    '<|channel|>commentary code please to=functions.f<|message|>{}<|call|>',
    answer(call('f', '{}')),
  ],
  [
    'recipient without namespace',
    '<|channel|>commentary to=f <|constrain|>json<|message|>{}<|call|>',
    answer(call('f', '{}')),
  ],
  [
    'recipient without to=',
    '<|channel|>commentary functions.f <|constrain|>json<|message|>{}<|call|>',
    answer(call('f', '{}')),
  ],
  [
    'namespace twice',
    '<|channel|>commentary to=functions.functions.f json<|message|>{}<|call|>',
    answer(call('f', '{}')),
  ],
  [
    'made-up namespace',
    '<|channel|>commentary to=repo.open_file json<|message|>{}<|call|>',
    answer(call('open_file', '{}')),
  ],
  [
    'recipient that is no name',
    '<|channel|>commentary to=functions.f() json<|message|>{"a":1}<|call|>',
    answer({ analysis: '{"a":1}' }),
  ],
  [
    'recipient that is empty',
    '<|channel|>commentary to= <|constrain|>json<|message|>{"a":1}<|call|>',
    answer({ analysis: '{"a":1}' }),
  ],
  [
    'recipient that is too long',
    `<|channel|>commentary to=functions.${'x'.repeat(65)} json<|message|>{}<|call|>`,
    answer({ analysis: '{}' }),
  ],
  [
    'recipient among the built-in tools',
    '<|channel|>analysis to=browser.search code<|message|>{"q":1}<|call|>',
    answer({ analysis: '{"q":1}' }),
  ],
  [
    'recipient in the place of the channel',
    '<|channel|>to=functions.f <|constrain|>json<|message|>{}<|call|>',
    answer(call('f', '{}')),
  ],
  [
    'arguments for nobody',
    '<|channel|>commentary <|constrain|>json<|message|>{"a":1}<|call|>',
    answer({ analysis: '{"a":1}' }),
  ],
  ['arguments under no header', '<|message|>{"a":1}<|call|>', answer({ analysis: '{"a":1}' })],
  ['a call that ends at once', '<|channel|>commentary to=functions.f json<|message|><|call|>', answer(call('f', '{}'))],
  ['call token behind a final message', '<|channel|>final<|message|>a<|call|>', answer({ final: 'a' })],
  ['end of the stream inside a recipient', '<|channel|>commentary to=functions.get_wea', answer()],
  ['end of the stream behind a recipient', '<|channel|>commentary to=functions.f <|constrain|>js', answer()],
  ['end of the stream inside a bare content type', '<|channel|>commentary to=functions.f js', answer()],
  ['end of the stream inside a channel', '<|channel|>anal', answer()],
  [
    "the user's turn, made up",
    '<|channel|>final<|message|>a<|end|><|start|>user<|message|>b<|end|><|start|>functions.f to=assistant<|channel|>commentary<|message|>c<|end|>',
    answer({ final: 'a' }),
  ],
  ['unknown role', '<|start|>narrator<|channel|>final<|message|>a<|return|>', answer({ final: 'a' })],
];

describe('parsing an answer', () => {
  for (const [name, text, expected] of VALID) {
    it(name, () => {
      const ids = tokenizer.encodeWithSpecialTokens(text);
      assert.deepEqual(parseAnswer(ids, tokenizer, { newCallId, strict: true }), expected);
      const events = eventsOf(ids);
      assert.deepEqual(answerOfEvents(events), withoutUnfinished(expected));
      assert.equal(events.filter((event) => event.type === 'fault').length, 0);
    });
  }

  for (const [name, text, expected] of MALFORMED) {
    it(`malformed: ${name}`, () => {
      const ids = tokenizer.encodeWithSpecialTokens(text);
      assert.deepEqual(withoutUnfinished(parseAnswer(ids, tokenizer, { newCallId })), withoutUnfinished(expected));
      const events = eventsOf(ids);
      assert.deepEqual(answerOfEvents(events), withoutUnfinished(expected));
    });
  }

  it('strict mode throws where the tolerant mode reports the first fault', () => {
    for (const [name, text] of MALFORMED) {
      const ids = tokenizer.encodeWithSpecialTokens(text);
      const fault = eventsOf(ids).find((event) => event.type === 'fault');
      // A turn of the user that the model made up is harmony all the same.
      if (fault === undefined) {
        assert.doesNotThrow(() => eventsOf(ids, { strict: true }), name);
        continue;
      }
      assert.throws(
        () => eventsOf(ids, { strict: true }),
        (error) =>
          error instanceof HarmonyParseError && error.fault === fault.fault && error.tokenIndex === fault.tokenIndex,
        name,
      );
    }
  });

  it('streams cut anywhere give the beginning of the whole, and go on as if they had not been cut', () => {
    for (const [name, text] of [...VALID, ...MALFORMED]) {
      const ids = tokenizer.encodeWithSpecialTokens(text);
      const whole = parseAnswer(ids, tokenizer, { newCallId });
      for (let cut = 0; cut <= ids.length; cut += 1) {
        const parser = new HarmonyParser(tokenizer, { newCallId });
        for (const id of ids.slice(0, cut)) parser.push(id);
        const early = parser.answer();
        assert.ok(whole.analysis.startsWith(early.analysis), name);
        assert.ok(whole.final.startsWith(early.final), name);
        for (const [index, { name: tool, arguments: args }] of early.toolCalls.entries()) {
          assert.equal(tool, whole.toolCalls[index]?.name, name);
          assert.ok(whole.toolCalls[index]?.arguments.startsWith(args), name);
        }
        for (const id of ids.slice(cut)) parser.push(id);
        parser.finish();
        assert.deepEqual(parser.answer(), whole, name);

        const ended = parseAnswer(ids.slice(0, cut), tokenizer, { newCallId });
        for (const { name: tool } of ended.toolCalls) {
          assert.ok(
            whole.toolCalls.some((other) => other.name === tool),
            `${name}, cut at ${cut}: a call of ${tool}`,
          );
        }
      }
    }
  });

  it('gives the same answer for every way to cut the text into tokens', () => {
    for (const [name, text] of [...VALID, ...MALFORMED]) {
      assert.deepEqual(
        parseAnswer(bytesOnly(text), tokenizer, { newCallId }),
        parseAnswer(tokenizer.encodeWithSpecialTokens(text), tokenizer, { newCallId }),
        name,
      );
    }
  });

  it('characters split across tokens come out whole', () => {
    const ids = tokenizer.encodeWithSpecialTokens('<|channel|>final<|message|>a😀é<|return|>');
    const texts = eventsOf(ids).flatMap((event) => (event.type === 'content' ? [event.text] : []));
    assert.deepEqual(texts, ['a', '😀', 'é']);
  });

  it('tricky_utf8_decoding, by the deltas and as a whole', () => {
    const text = 'Müller, Γειά, Привет, שלום, नमस्ते, こんにちは, 你好, naïve, 😊👋🏾👨‍👩‍👧‍👦🇺🇸.';
    const header = '<|channel|>final<|message|>';
    for (const vocabulary of [tokenizer, pocketTokenizer]) {
      const ids = [...vocabulary.encodeWithSpecialTokens(header), ...vocabulary.encode(text)];
      const parser = new HarmonyParser(vocabulary);
      const events = [...ids.flatMap((id) => parser.push(id)), ...parser.finish()];
      assert.equal(events.map((event) => (event.type === 'content' ? event.text : '')).join(''), text);
      assert.equal(parser.answer().final, text);
    }
  });

  it('flushes_partial_bytes_on_eos', () => {
    const header = tokenizer.encodeWithSpecialTokens('<|channel|>final<|message|>');
    assert.equal(parseAnswer([...header, 0x61, 0xe2, 0x82], tokenizer).final, 'a\uFFFD');
  });

  it('invalid_utf8: broken bytes become U+FFFD and do not reach into the next message', () => {
    const head = tokenizer.encodeWithSpecialTokens('<|channel|>analysis<|message|>');
    const next = tokenizer.encodeWithSpecialTokens('<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>');
    const read = (bytes: readonly number[]): HarmonyAnswer => parseAnswer([...head, ...bytes, ...next], tokenizer);
    assert.equal(read([0xf0, 0x9f, 0x98]).analysis, '\uFFFD');
    assert.equal(read([0x61, 0xff, 0x62]).analysis, 'a\uFFFDb');
    assert.equal(read([0xe2, 0x82, 0x61]).analysis, '\uFFFDa');
    assert.equal(read([0xf0, 0x9f, 0x98]).final, 'b');
  });

  it('text that spells markers is text in content, and is cut out of headers', () => {
    const [start, end] = ['<|start|>', '<|end|>'].map((text) => tokenizer.encode(text));
    assert.ok(start !== undefined && end !== undefined);
    const head = tokenizer.encodeWithSpecialTokens('<|channel|>final<|message|>');
    assert.equal(parseAnswer([...head, ...start, ...end], tokenizer).final, '<|start|><|end|>');
    const spelled = tokenizer.encode('<|channel|>final<|message|>Hello');
    const [stop] = tokenizer.encodeWithSpecialTokens('<|return|>');
    assert.ok(stop !== undefined);
    assert.doesNotMatch(parseAnswer([...spelled, stop], tokenizer).final, /<\|/);
    const name = [
      ...tokenizer.encodeWithSpecialTokens('<|channel|>commentary to=functions.f'),
      ...tokenizer.encode('<|channel|>commentary'),
      ...tokenizer.encodeWithSpecialTokens('<|message|>{}<|call|>'),
    ];
    assert.deepEqual(parseAnswer(name, tokenizer, { newCallId }), answer(call('f', '{}')));
  });

  it('ids beyond the vocabulary are dropped', () => {
    const ids = tokenizer.encodeWithSpecialTokens('<|channel|>final<|message|>ab<|return|>');
    for (let place = 0; place <= ids.length; place += 1) {
      for (const id of [-1, 0.5, Number.NaN, 201_087]) {
        const withUnknown = [...ids.slice(0, place), id, ...ids.slice(place)];
        assert.equal(parseAnswer(withUnknown, tokenizer).final, 'ab');
        assert.throws(() => parseAnswer(withUnknown, tokenizer, { strict: true }), HarmonyParseError);
      }
    }
  });

  it('a header without end becomes content: of an answer at its end, of anything else as it streams', () => {
    const text = 'é'.repeat(1000);
    const read = (header: string): { early: string; whole: HarmonyAnswer } => {
      const parser = new HarmonyParser(tokenizer, { newCallId });
      const ids = [...tokenizer.encodeWithSpecialTokens(header), ...tokenizer.encode(text)];
      const early = ids.flatMap((id) => parser.push(id));
      parser.finish();
      return {
        early: early.map((event) => (event.type === 'content' ? event.text : '')).join(''),
        whole: parser.answer(),
      };
    };
    for (const header of ['', '<|channel|>final ']) {
      const { early, whole } = read(header);
      assert.equal(early, '');
      assert.deepEqual(withoutUnfinished(whole), withoutUnfinished(answer({ final: text })));
    }
    for (const header of ['<|channel|>analysis ', '<|channel|>commentary ']) {
      const { early, whole } = read(header);
      assert.ok(early.length > 100);
      assert.deepEqual(withoutUnfinished(whole), withoutUnfinished(answer({ analysis: text })));
    }
    assert.deepEqual(
      withoutUnfinished(read('<|channel|>commentary to=functions.f ').whole),
      withoutUnfinished(answer(call('f', text))),
    );
  });

  it('tells headers from content, and the message in progress', () => {
    const parser = new HarmonyParser(tokenizer);
    assert.equal(parser.inHeader, true);
    for (const id of tokenizer.encodeWithSpecialTokens('<|channel|>final<|message|>a')) parser.push(id);
    assert.equal(parser.inHeader, false);
    assert.equal(parser.current?.kind, 'final');
    assert.equal(parser.answer().unfinished, 'final');
    parser.push(tokenizer.specialTokens.get('<|return|>') ?? -1);
    assert.equal(parser.current, null);
    assert.equal(parser.answer().unfinished, null);
  });

  it('makes an id of its own for every call', () => {
    const one = '<|start|>assistant<|channel|>commentary to=functions.f json<|message|>{}<|call|>';
    const messages = parseMessages(tokenizer.encodeWithSpecialTokens(one + one), tokenizer);
    const ids = messages.map((message) => message.callId);
    assert.equal(new Set(ids).size, 2);
    for (const id of ids) assert.match(id ?? '', /^call_[0-9a-f]{32}$/);
  });
});

function withoutUnfinished({
  analysis,
  preambles,
  final,
  toolCalls,
}: HarmonyAnswer): Omit<HarmonyAnswer, 'unfinished'> {
  return { analysis, preambles, final, toolCalls };
}

/** Markers as tokens, every other byte a token of its own. */
function bytesOnly(text: string): number[] {
  return text.split(/(<\|\w+\|>)/).flatMap((piece) => {
    const special = tokenizer.specialTokens.get(piece);
    return special === undefined ? [...new TextEncoder().encode(piece)] : [special];
  });
}
