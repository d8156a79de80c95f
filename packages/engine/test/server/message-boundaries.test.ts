import assert from 'node:assert/strict';
import type OpenAI from 'openai';
import type { RunningServer } from '../../src/server/start-server.ts';
import { type ChatAnswer, streamedAnswer, wholeAnswer } from './chat-answer.ts';
import { clientOf, scripted, startScriptedServer } from './test-server.ts';

/** A message of each kind, as the model writes it and as each API shows it. */
const KINDS = {
  analysis: { written: (text: string) => `<|channel|>analysis<|message|>${text}<|end|>`, item: 'reasoning' },
  preamble: { written: (text: string) => `<|channel|>commentary<|message|>${text}<|end|>`, item: 'commentary' },
  final: { written: (text: string) => `<|channel|>final<|message|>${text}<|end|>`, item: 'final_answer' },
  call: {
    written: (text: string) =>
      `<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a":"${text}"}<|end|>`,
    item: 'function_call',
  },
} as const;
type Kind = keyof typeof KINDS;

const NAMES = Object.keys(KINDS) as Kind[];
const PAIRS = NAMES.flatMap((first) => NAMES.map((second): [Kind, Kind] => [first, second]));
/** Every pair, and runs in which kinds come back after others. */
const RUNS: readonly (readonly Kind[])[] = [
  ...PAIRS,
  ['analysis', 'preamble', 'analysis', 'preamble', 'call'],
  ['preamble', 'preamble', 'call', 'call'],
  ['final', 'call', 'final'],
  ['analysis', 'preamble', 'call', 'preamble', 'final'],
];
const FUNCTION = { name: 'f', parameters: { type: 'object', properties: { a: { type: 'string' } } } };

const textOf = (index: number): string => `message ${index}`;
const answerOf = (run: readonly Kind[]): string =>
  run.map((kind, index) => `${index === 0 ? '' : '<|start|>assistant'}${KINDS[kind].written(textOf(index))}`).join('');
const textsOf = (run: readonly Kind[], ...kinds: readonly Kind[]): string =>
  run.flatMap((kind, index) => (kinds.includes(kind) ? [textOf(index)] : [])).join('\n');
const callsOf = (run: readonly Kind[]): ChatAnswer['calls'] =>
  run.flatMap((kind, index) => (kind === 'call' ? [{ name: 'f', arguments: `{"a":"${textOf(index)}"}` }] : []));
/** What the items of a response are, in order. */
const itemsOf = (run: readonly Kind[]): string[] =>
  run.map((kind, index) =>
    kind === 'call' ? `function_call {"a":"${textOf(index)}"}` : `${KINDS[kind].item} ${textOf(index)}`,
  );

function describeItem(item: OpenAI.Responses.ResponseOutputItem): string {
  if (item.type === 'reasoning') return `reasoning ${(item.content ?? []).map(({ text }) => text).join('|')}`;
  if (item.type === 'function_call') return `function_call ${item.arguments}`;
  if (item.type !== 'message') return item.type;
  return `${item.phase} ${item.content.map((part) => (part.type === 'output_text' ? part.text : '?')).join('|')}`;
}

describe('boundaries between the messages of one answer', () => {
  let server: RunningServer;
  let client: OpenAI;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
    client = clientOf(server);
  });
  after(() => server.close());

  for (const run of RUNS) {
    const chat = {
      model: 'scripted',
      messages: [{ role: 'user' as const, content: scripted(answerOf(run)) }],
      tools: [{ type: 'function' as const, function: FUNCTION }],
    };
    const responses = {
      model: 'scripted',
      input: scripted(answerOf(run)),
      tools: [{ type: 'function' as const, strict: false, ...FUNCTION }],
    };

    it(`are a line break in chat completions, whole and streamed: ${run.join(', ')}`, async () => {
      const expected = {
        content: textsOf(run, 'preamble', 'final'),
        reasoning: textsOf(run, 'analysis'),
        calls: callsOf(run),
      };
      for (const answer of [await wholeAnswer(client, chat), await streamedAnswer(client, chat)]) {
        const { content, reasoning, calls } = answer;
        assert.deepEqual({ content, reasoning, calls }, expected);
      }
    });

    it(`are items in Responses, in the order written, whole and streamed: ${run.join(', ')}`, async () => {
      const expected = itemsOf(run);
      const whole = await client.responses.create(responses);
      assert.deepEqual(whole.output.map(describeItem), expected);
      const texts: string[] = [];
      let open: number | null = null;
      let last: OpenAI.Responses.Response | null = null;
      for await (const event of await client.responses.create({ ...responses, stream: true })) {
        if (event.type === 'response.output_item.added') {
          assert.equal(open, null);
          assert.equal(event.output_index, texts.length);
          open = event.output_index;
          texts.push('');
        } else if (event.type === 'response.output_item.done') {
          assert.equal(event.output_index, open);
          assert.equal(describeItem(event.item), expected[event.output_index]);
          assert.ok(expected[event.output_index]?.endsWith(texts[event.output_index] ?? '?'));
          open = null;
        } else if ('delta' in event && 'output_index' in event && typeof event.delta === 'string') {
          assert.equal(event.output_index, open);
          texts[event.output_index] += event.delta;
        } else if (event.type === 'response.completed') last = event.response;
      }
      assert.deepEqual(last?.output.map(describeItem), expected);
      assert.deepEqual(
        texts,
        run.map((kind, index) => (kind === 'call' ? `{"a":"${textOf(index)}"}` : textOf(index))),
      );
    });
  }

  it('are there for a slow reader too, whose pieces are joined', async () => {
    const run: readonly Kind[] = ['analysis', 'analysis', 'preamble', 'preamble', 'final', 'final'];
    const stream = await client.responses.create({
      model: 'scripted',
      input: scripted(answerOf(run)),
      stream: true,
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const items: string[] = [];
    for await (const event of stream)
      if (event.type === 'response.output_item.done') items.push(describeItem(event.item));
    assert.deepEqual(items, itemsOf(run));
  });
});
