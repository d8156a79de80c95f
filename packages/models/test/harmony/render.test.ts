import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import {
  DuplicateToolError,
  InvalidToolNameError,
  MissingSpecialTokenError,
  TooManyTokensError,
  UnknownToolResultError,
} from '../../src/errors.ts';
import {
  type HarmonyConversation,
  type HarmonyMessage,
  harmonyTokens,
  parseMessages,
  PUBLISHED_HARMONY_FORMAT,
  renderAnswerPrefix,
  renderConversation,
  type RenderOptions,
} from '../../src/gpt-oss/harmony/index.ts';
import { anyText, conversations } from './arbitrary-conversation.ts';
import { ByteTokenizer } from './byte-tokenizer.ts';

const tokenizer = new ByteTokenizer();
const SYSTEM =
  '<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n' +
  'Knowledge cutoff: 2024-06\nCurrent date: 2025-06-28\n\nReasoning: medium\n\n' +
  '# Valid channels: analysis, commentary, final. Channel must be included for every message.';

function textOf(conversation: HarmonyConversation, options: RenderOptions = {}): string {
  return tokenizer.decode(renderConversation({ currentDate: '2025-06-28', ...conversation }, tokenizer, options));
}

/** The text behind the system message. */
function turnsOf(messages: readonly HarmonyMessage[], options: RenderOptions = {}): string {
  const text = textOf({ messages }, options);
  const head = `${SYSTEM}<|end|>`;
  assert.ok(text.startsWith(head));
  return text.slice(head.length);
}

describe('rendering a conversation', () => {
  it('simple_convo', () => {
    assert.equal(
      textOf({ messages: [{ role: 'user', content: 'What is 2 + 2?' }] }),
      `${SYSTEM}<|end|><|start|>user<|message|>What is 2 + 2?<|end|><|start|>assistant`,
    );
  });

  it('simple_convo_with_effort, with and without instructions', () => {
    const question = { role: 'user', content: 'Hi' } as const;
    const instructions = { role: 'system', content: 'Answer like a robot.' } as const;
    for (const reasoningEffort of ['low', 'medium', 'high'] as const) {
      const system = SYSTEM.replace('medium', reasoningEffort);
      assert.equal(
        textOf({ messages: [question], reasoningEffort }),
        `${system}<|end|><|start|>user<|message|>Hi<|end|><|start|>assistant`,
      );
      assert.equal(
        textOf({ messages: [instructions, question], reasoningEffort }),
        `${system}<|end|><|start|>developer<|message|># Instructions\n\nAnswer like a robot.<|end|>` +
          '<|start|>user<|message|>Hi<|end|><|start|>assistant',
      );
    }
  });

  it('system message with an identity, a cutoff and a date', () => {
    assert.equal(
      textOf({
        messages: [],
        modelIdentity: 'You are a sailor.',
        knowledgeCutoff: '2021-01',
        currentDate: '2021-02-03',
      }),
      SYSTEM.replace(/You are ChatGPT.*/, 'You are a sailor.')
        .replace('2024-06', '2021-01')
        .replace('2025-06-28', '2021-02-03') + '<|end|><|start|>assistant',
    );
  });

  it('takes the date from the clock, in UTC, if the conversation has none', () => {
    const options = { clock: () => new Date('2030-12-31T23:59:59Z') };
    const text = tokenizer.decode(renderConversation({ messages: [] }, tokenizer, options));
    assert.match(text, /\nCurrent date: 2030-12-31\n/);
  });

  it('joins leading instructions, tools and the response format, and leaves later instructions in their place', () => {
    const text = textOf(
      {
        messages: [
          { role: 'system', content: 'One.' },
          { role: 'developer', content: 'Two.' },
          { role: 'user', content: 'a' },
          { role: 'developer', content: 'Three.' },
        ],
        tools: [{ name: 'now', description: 'Tells the time.' }],
        responseFormat: { name: 'list', description: 'A list.', schema: { type: 'array' } },
      },
      { addGenerationPrompt: false },
    );
    assert.equal(
      text,
      `${SYSTEM}\nCalls to these tools must go to the commentary channel: 'functions'.<|end|>` +
        '<|start|>developer<|message|># Instructions\n\nOne.\n\nTwo.\n\n' +
        '# Tools\n\n## functions\n\nnamespace functions {\n\n// Tells the time.\ntype now = () => any;\n\n} // namespace functions\n\n' +
        '# Response Formats\n\n## list\n\n// A list.\n{"type":"array"}<|end|>' +
        '<|start|>user<|message|>a<|end|><|start|>developer<|message|># Instructions\n\nThree.<|end|>',
    );
  });

  it('tool calls and results, with the recipient after the role or after the channel', () => {
    const messages: HarmonyMessage[] = [
      { role: 'user', content: 'Weather?' },
      { role: 'assistant', preamble: 'Looking.', toolCalls: [{ id: '1', name: 'get_weather', arguments: '{"a":1}' }] },
      { role: 'tool', toolCallId: '1', content: '20 degrees' },
    ];
    const before =
      '<|start|>user<|message|>Weather?<|end|><|start|>assistant<|channel|>commentary<|message|>Looking.<|end|>';
    const after =
      '<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>20 degrees<|end|><|start|>assistant';
    assert.equal(
      turnsOf(messages),
      `${before}<|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{"a":1}<|call|>${after}`,
    );
    assert.equal(
      turnsOf(messages, { format: { ...PUBLISHED_HARMONY_FORMAT, recipientPlacement: 'channel' } }),
      `${before}<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"a":1}<|call|>${after}`,
    );
  });

  it('content beside tool calls is a preamble', () => {
    const call = { id: '1', name: 'f', arguments: '{}' };
    assert.equal(
      turnsOf([{ role: 'assistant', content: 'Wait.', toolCalls: [call] }], { addGenerationPrompt: false }),
      '<|start|>assistant<|channel|>commentary<|message|>Wait.<|end|>' +
        '<|start|>assistant to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}<|call|>',
    );
  });

  it('a last final message ends with return, or with end on request and before a generation prompt', () => {
    const answer: HarmonyMessage[] = [{ role: 'assistant', content: '4' }];
    const text = '<|start|>assistant<|channel|>final<|message|>4';
    assert.equal(turnsOf(answer, { addGenerationPrompt: false }), `${text}<|return|>`);
    assert.equal(turnsOf(answer, { addGenerationPrompt: false, lastFinalEnd: 'end' }), `${text}<|end|>`);
    assert.equal(turnsOf(answer), `${text}<|end|><|start|>assistant`);
  });

  describe('analysis', () => {
    it('dropping_cot_by_default', () => {
      assert.deepEqual(thoughts([...turn(1), { role: 'user', content: 'next' }]), []);
    });

    it('preserve_cot on request', () => {
      assert.deepEqual(thoughts([...turn(1), { role: 'user', content: 'next' }], { analysis: 'all' }), ['thought 1']);
    });

    it('keep_analysis_between_final_messages', () => {
      assert.deepEqual(thoughts([...turn(1), ...turn(2)]), ['thought 2']);
    });

    it('does_not_drop_if_ongoing_analysis', () => {
      const loop: HarmonyMessage[] = [
        { role: 'user', content: 'question 3' },
        { role: 'assistant', analysis: 'thought 3', toolCalls: [{ id: 'c', name: 'f', arguments: '{}' }] },
        { role: 'tool', name: 'f', content: 'result' },
      ];
      assert.deepEqual(thoughts([...turn(1), ...loop]), ['thought 3']);
      assert.deepEqual(thoughts([...turn(1), ...loop], { analysis: 'none' }), []);
    });
  });

  it('no text becomes a marker: the markers are those of the conversation without it', () => {
    fc.assert(
      fc.property(conversations(anyText), (conversation) => {
        const blank: HarmonyConversation = {
          ...conversation,
          messages: conversation.messages.map((message): HarmonyMessage => {
            if (message.role !== 'assistant') return { ...message, content: fill(message.content) };
            return {
              ...message,
              ...(message.content === undefined ? {} : { content: fill(message.content) }),
              ...(message.analysis === undefined ? {} : { analysis: fill(message.analysis) }),
            };
          }),
        };
        assert.deepEqual(
          specials(renderConversation(conversation, tokenizer)),
          specials(renderConversation(blank, tokenizer)),
        );
      }),
    );
  });

  it('a user who writes every marker stays inside one user message', () => {
    const content = [...tokenizer.specialTokens.keys()].join('assistant');
    const ids = renderConversation({ messages: [{ role: 'user', content }] }, tokenizer, {
      addGenerationPrompt: false,
    });
    const messages = parseMessages(ids, tokenizer, { strict: true });
    assert.deepEqual(
      messages.map((message) => message.header.role),
      ['system', 'user'],
    );
    assert.equal(messages[1]?.content, content);
  });

  it('a forced prefix is a header that the parser reads', () => {
    const prompt = tokenizer.encodeWithSpecialTokens('<|start|>assistant');
    const rest = tokenizer.encodeWithSpecialTokens('{}<|call|>');
    for (const recipientPlacement of ['role', 'channel'] as const) {
      const prefix = renderAnswerPrefix({ toolName: 'f' }, tokenizer, {
        format: { ...PUBLISHED_HARMONY_FORMAT, recipientPlacement },
      });
      const [message] = parseMessages([...prompt, ...prefix, ...rest], tokenizer, { strict: true });
      assert.equal(message?.kind, 'tool-call');
      assert.equal(message.header.recipient, 'f');
    }
    assert.equal(tokenizer.decode(renderAnswerPrefix({ channel: 'final' }, tokenizer)), '<|channel|>final<|message|>');
  });

  it('is given up as soon as it has more ids than wanted, the texts behind not read', () => {
    const conversation = {
      messages: Array.from({ length: 200 }, () => ({ role: 'user' as const, content: 'Hello' })),
      currentDate: '2025-06-28',
    };
    const ids = renderConversation(conversation, tokenizer);
    assert.deepEqual(renderConversation(conversation, tokenizer, { maxTokens: ids.length }), ids);
    let texts = 0;
    const counting = new Proxy(tokenizer, {
      get: (target, key) => {
        if (key === 'encode') texts += 1;
        const member: unknown = Reflect.get(target, key, target);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    for (const most of [0, 1, 400, ids.length - 1]) {
      texts = 0;
      assert.throws(
        () => renderConversation(conversation, counting, { maxTokens: most }),
        (error) => error instanceof TooManyTokensError && error.most === most,
      );
      assert.ok(texts <= 4 + most, `${texts} texts were read for ${most} ids`);
    }
  });

  it('refuses names that cannot stand in a header', () => {
    for (const name of ['', 'a b', 'a.b', 'x'.repeat(65), 'f<|end|>', 'naïve', 'a\n']) {
      const call = { id: '1', name, arguments: '{}' };
      assert.throws(() => textOf({ messages: [], tools: [{ name }] }), InvalidToolNameError);
      assert.throws(
        () => textOf({ messages: [{ role: 'assistant', toolCalls: [call] }] }, { addGenerationPrompt: false }),
        InvalidToolNameError,
      );
      assert.throws(() => renderAnswerPrefix({ toolName: name }, tokenizer), InvalidToolNameError);
    }
    assert.throws(() => textOf({ messages: [{ role: 'tool', name: 'a b', content: '' }] }), InvalidToolNameError);
  });

  it('refuses two tools of one name, results of unknown calls and a vocabulary without markers', () => {
    assert.throws(() => textOf({ messages: [], tools: [{ name: 'f' }, { name: 'f' }] }), DuplicateToolError);
    assert.throws(() => textOf({ messages: [{ role: 'tool', content: '' }] }), UnknownToolResultError);
    assert.throws(
      () => textOf({ messages: [{ role: 'tool', toolCallId: '7', content: '' }] }),
      (error) => error instanceof UnknownToolResultError && error.messageIndex === 0 && error.toolCallId === '7',
    );
    const bare = new Proxy(tokenizer, {
      get: (target, key) => (key === 'specialTokens' ? new Map() : Reflect.get(target, key, target)),
    });
    assert.throws(() => harmonyTokens(bare), MissingSpecialTokenError);
  });
});

function specials(ids: readonly number[]): number[] {
  return ids.filter((id) => tokenizer.isSpecial(id));
}

/** Keeps only whether there is a text: empty parts are left out of a prompt. */
function fill(text: string): string {
  return text === '' ? '' : 'x';
}

function turn(n: number): HarmonyMessage[] {
  return [
    { role: 'user', content: `question ${n}` },
    { role: 'assistant', analysis: `thought ${n}`, content: `answer ${n}` },
  ];
}

/** The thoughts of turns that are left in the prompt. */
function thoughts(messages: readonly HarmonyMessage[], options: RenderOptions = {}): string[] {
  return turnsOf(messages, options).match(/thought \d/g) ?? [];
}
