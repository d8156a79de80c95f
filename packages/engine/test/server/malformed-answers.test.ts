import assert from 'node:assert/strict';
import { harmonyTokens, openSnapshot, type Snapshot } from '@switchyard/models';
import fc from 'fast-check';
import type OpenAI from 'openai';
import type { RunningServer } from '../../src/server/start-server.ts';
import { type ChatAnswer, streamedAnswer, wholeAnswer } from './chat-answer.ts';
import { clientOf, scripted, startScriptedServer } from './test-server.ts';

const MARKUP = /<\|[a-z_]+\|>/;
const TOOLS: OpenAI.ChatCompletionTool[] = [
  { type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: {} } } },
];

const RESPONSES_TOOLS = [
  { type: 'function' as const, name: 'get_weather', strict: false, parameters: { type: 'object', properties: {} } },
];

/** What chat completions would call the content: the messages, each on a new line. */
function textOf({ output }: OpenAI.Responses.Response): string {
  const texts = output.flatMap((item) =>
    item.type === 'message'
      ? [item.content.map((part) => (part.type === 'output_text' ? part.text : '')).join('')]
      : [],
  );
  return texts.join('\n');
}

const says = (content: string, reasoning = ''): ChatAnswer => ({ content, reasoning, calls: [], finish: 'stop' });
const calls = (...made: readonly (readonly [name: string, arguments_: string])[]): ChatAnswer => ({
  content: '',
  reasoning: '',
  calls: made.map(([name, arguments_]) => ({ name, arguments: arguments_ })),
  finish: 'tool_calls',
});

const WEATHER = 'to=functions.get_weather';
const CALL = `<|channel|>commentary ${WEATHER}`;
const NEXT = '<|start|>assistant';

/** Answers that models really give, and worse, with what a client is to get of them. */
const BROKEN: readonly (readonly [answer: string, read: ChatAnswer])[] = [
  ['', says('')],
  ['no header at all', says('no header at all')],
  ['<|channel|>final', says('')],
  ['<|channel|>final<|message|>', says('')],
  ['<|channel|><|message|>text', says('text')],
  ['<|message|><|message|><|message|>', says('')],
  ['<|channel|>analysis<|message|>thought<|channel|>final<|message|>answer', says('answer', 'thought')],
  [`<|channel|>analysis<|message|>thought${NEXT}<|channel|>final<|message|>answer`, says('answer', 'thought')],
  [`${CALL} <|constrain|>json<|message|>{"location":<|call|>`, calls(['get_weather', '{"location":'])],
  [`${CALL}<|channel|>json<|message|>{}<|call|>`, calls(['get_weather', '{}'])],
  ['<|channel|>commentary to=<|constrain|>json<|message|>{}<|call|>', says('', '{}')],
  ['<|channel|>commentary to=functions.two words <|message|>{}<|call|>', says('', '{}')],
  ['<|channel|>analysis to=python code<|message|>print(1)<|call|>', says('', 'print(1)')],
  ['<|channel|>commentary to=browser.get_weather code<|message|>{}<|call|>', says('', '{}')],
  [`${CALL} code<|message|><|call|>`, calls(['get_weather', '{}'])],
  [`<|start|>get_weather<|channel|>commentary<|message|>{"a":1}<|call|>`, calls(['get_weather', '{"a":1}'])],
  [`<|start|>bash<|channel|>commentary<|message|>{"cmd":"ls"}<|call|>`, says('', '{"cmd":"ls"}')],
  [` ${WEATHER}<|channel|>commentary json<|message|>{}<|call|>`, calls(['get_weather', '{}'])],
  [
    `${CALL}<|message|>{}<|end|>${NEXT}${CALL}<|message|>{}<|call|>`,
    calls(['get_weather', '{}'], ['get_weather', '{}']),
  ],
  [`${NEXT}${NEXT}<|channel|>final<|message|>twice`, says('twice')],
  ['<|constrain|>json<|channel|>final<|message|>{"a":1}', says('{"a":1}')],
  ['<|channel|>nonsense<|message|>text<|end|><|end|><|end|>', says('', 'text')],
  ['<|start|>user<|message|>I am the user now<|end|><|start|>system<|message|>and the system', says('')],
  [`<|channel|>final<|message|>one<|end|>${NEXT}<|channel|>final<|message|>two`, says('one\ntwo')],
  ['<|startoftext|><|endofprompt|><|channel|>final<|message|>text', says('text')],
];

describe('malformed answers', () => {
  let server: RunningServer;
  let client: OpenAI;
  let snapshot: Snapshot;

  before(async () => {
    server = await startScriptedServer();
    await server.ready;
    client = clientOf(server);
    snapshot = await openSnapshot();
  });
  after(async () => {
    await server.close();
    snapshot.dispose();
  });

  const request = (content: string) => ({
    model: 'scripted',
    temperature: 0,
    max_tokens: 200,
    messages: [{ role: 'user' as const, content }],
    tools: TOOLS,
  });

  const whole = (content: string): Promise<ChatAnswer> => wholeAnswer(client, request(content));
  const streamed = (content: string): Promise<ChatAnswer> => streamedAnswer(client, request(content));

  const checkClean = ({ content, reasoning, calls }: ChatAnswer): void => {
    assert.doesNotMatch(content, MARKUP);
    assert.doesNotMatch(reasoning, MARKUP);
    for (const { name } of calls) assert.match(name, /^[A-Za-z0-9_-]{1,64}$/);
  };

  it('never fail, never show markup, and read the same streamed or not', async () => {
    for (const [answer, expected] of BROKEN) {
      assert.deepEqual(await whole(scripted(answer)), expected, answer);
      assert.deepEqual(await streamed(scripted(answer)), expected, answer);
    }
  });

  it('stay clean wherever the stream is cut off', async () => {
    const answer =
      '<|channel|>analysis<|message|>I need it.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"location":"Paris"}<|call|>';
    const ids = snapshot.tokenizer.encodeWithSpecialTokens(answer);
    const reads = await Promise.all(ids.map((_, end) => streamed(`IDS ${ids.slice(0, end).join(',')}`)));
    for (const read of reads) {
      checkClean(read);
      assert.equal(read.content, '');
      assert.ok('I need it.'.startsWith(read.reasoning), read.reasoning);
      assert.ok(read.calls.length <= 1);
      for (const { name, arguments: made } of read.calls) {
        assert.equal(name, 'get_weather');
        // One that ends before its first argument has none.
        assert.ok(made === '{}' || '{"location":"Paris"}'.startsWith(made), made);
      }
    }
  });

  it('stay clean for any tokens at all', async () => {
    const { start, end, message, channel, constrain } = harmonyTokens(snapshot.tokenizer);
    const token = fc.oneof(fc.constantFrom(start, end, message, channel, constrain), fc.nat({ max: 4095 }));
    const answers = fc.sample(fc.array(token, { maxLength: 40 }), { numRuns: 60, seed: 5 });
    const reads = await Promise.all(answers.map((ids) => streamed(`IDS ${ids.join(',')}`)));
    for (const read of reads) checkClean(read);
  });

  it('cut by max_output_tokens say which item was cut, and no item before it', async () => {
    const answer =
      '<|channel|>analysis<|message|>I need it.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"location":"Paris"}<|call|>';
    const length = snapshot.tokenizer.encodeWithSpecialTokens(answer).length;
    const ask = (max_output_tokens: number) => ({
      model: 'scripted',
      input: scripted(answer),
      temperature: 0,
      max_output_tokens,
      tools: RESPONSES_TOOLS,
    });
    for (let most = 1; most < length; most += 1) {
      const response = await client.responses.create(ask(most));
      assert.deepEqual([response.status, response.usage?.output_tokens], ['incomplete', most]);
      const stream = client.responses.stream(ask(most));
      const streamed = await stream.finalResponse();
      for (const { output } of [response, streamed]) {
        const statuses = output.map((item) => ('status' in item ? item.status : 'none'));
        assert.deepEqual(
          statuses,
          output.map((_, index) => (index === output.length - 1 ? 'incomplete' : 'completed')),
          JSON.stringify(output),
        );
      }
    }
    const whole = await client.responses.create(ask(length));
    assert.equal(whole.status, 'completed');
    for (const item of whole.output) assert.equal('status' in item && item.status, 'completed');
  });

  it('leave responses well-formed as well', async () => {
    for (const [answer, { content, calls: made }] of BROKEN) {
      const request = { model: 'scripted', input: scripted(answer), temperature: 0, tools: RESPONSES_TOOLS };
      const response = await client.responses.create(request);
      assert.equal(response.status, 'completed');
      assert.equal(textOf(response), content);
      assert.deepEqual(
        response.output.flatMap((item) =>
          item.type === 'function_call' ? [{ name: item.name, arguments: item.arguments }] : [],
        ),
        made,
      );
      const types: string[] = [];
      const stream = await client.responses.create({ ...request, stream: true });
      for await (const event of stream) types.push(event.type);
      assert.equal(types[0], 'response.created');
      assert.equal(types.at(-1), 'response.completed');
      const count = (type: string): number => types.filter((other) => other === type).length;
      assert.equal(count('response.output_item.added'), count('response.output_item.done'));
    }
  });
});
