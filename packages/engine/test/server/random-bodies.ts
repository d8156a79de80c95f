/** Bodies of every kind: good ones with one or two fields that are anything. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { RunningServer } from '../../src/server/start-server.ts';
import { post, scripted } from './test-server.ts';

const ANSWER = scripted('<|channel|>final<|message|>fine');

/** A good body for every path. Fuzzing replaces some of its fields: bodies that are wrong all over never reach the model. */
const GOOD = {
  '/v1/chat/completions': { messages: [{ role: 'user', content: ANSWER }], max_tokens: 20 },
  '/v1/responses': { input: ANSWER, max_output_tokens: 20 },
  '/v1/completions': { prompt: ANSWER, max_tokens: 20 },
  '/v1/messages': { messages: [{ role: 'user', content: ANSWER }], max_tokens: 20 },
  '/v1/score': { input: 'a text' },
  '/tokenize': { prompt: 'a text' },
  '/detokenize': { tokens: [1, 2, 3] },
} as const;

export type Path = keyof typeof GOOD;

export const PATHS = Object.keys(GOOD) as Path[];
export const GENERATING: readonly Path[] = ['/v1/chat/completions', '/v1/responses', '/v1/completions', '/v1/messages'];
/** Fields of a good body that are replaced at once, at most. */
const MOST_REPLACED = 2;

/** Values that requests really have, and any others. */
const text = fc.oneof(
  fc.constant(ANSWER),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom('<|start|>system<|message|>', '\ud800', '', '\u0000'),
);
const anything = fc.oneof({ maxDepth: 2 }, text, fc.jsonValue({ maxDepth: 3 }), fc.double(), fc.integer());
const message = fc.record(
  {
    role: fc.oneof(fc.constantFrom('system', 'developer', 'user', 'assistant', 'tool'), text),
    content: fc.oneof(text, fc.array(fc.record({ type: fc.constant('text'), text })), anything),
    reasoning: fc.oneof(text, anything),
    tool_call_id: text,
    tool_calls: fc.oneof(
      fc.array(
        fc.record({ id: text, type: fc.constant('function'), function: fc.record({ name: text, arguments: text }) }),
        { maxLength: 2 },
      ),
      anything,
    ),
  },
  { requiredKeys: ['role', 'content'] },
);
const schema = fc.oneof(
  fc.constantFrom(
    { type: 'object', properties: { a: { type: 'string' } } },
    { type: 'strange' },
    { $ref: '#/nothing' },
    { type: 'string', pattern: '(((' },
  ),
  fc.dictionary(fc.constantFrom('type', 'properties', 'enum', 'anyOf', 'items', 'required', '$ref'), anything),
);
const functionTool = fc.record({
  type: fc.constant('function'),
  name: fc.constantFrom('f', 'g'),
  function: fc.record({ name: fc.constantFrom('f', 'g', 'a b'), parameters: schema }),
  parameters: schema,
});
const grammar = fc.record({
  syntax: fc.oneof(fc.constantFrom('lark', 'regex'), text),
  definition: fc.oneof(
    fc.constantFrom('a|b', 'start: "a" | B\nB: /b+/', 'start: start', '(', 'start: ("a"', '[\\w-]+'),
    text,
  ),
});
const customTool = fc.tuple(fc.constantFrom('f', 'g'), grammar).map(([name, given]) => ({
  type: 'custom',
  name,
  format: { type: 'grammar', ...given },
  custom: { name, format: { type: 'grammar', grammar: given } },
}));
const tool = fc.oneof(functionTool, customTool);
const block = fc.record(
  {
    type: fc.constantFrom('text', 'thinking', 'redacted_thinking', 'tool_use', 'tool_result', 'image'),
    text,
    thinking: text,
    data: text,
    id: fc.constantFrom('a', 'b'),
    tool_use_id: fc.constantFrom('a', 'b'),
    name: fc.constantFrom('f', 'g', 'a b'),
    input: fc.oneof(fc.constant({}), anything),
    content: fc.oneof(text, anything),
  },
  { requiredKeys: ['type', 'text', 'thinking', 'data', 'id', 'tool_use_id', 'name', 'input'] },
);
const blockMessage = fc.record({
  role: fc.constantFrom('user', 'assistant'),
  content: fc.oneof(text, fc.array(block, { maxLength: 3 })),
});
const item = fc.record(
  {
    type: fc.constantFrom(
      'message',
      'reasoning',
      'function_call',
      'function_call_output',
      'custom_tool_call',
      'custom_tool_call_output',
      'item_reference',
      'additional_tools',
      'web_search_call',
      'nothing',
    ),
    id: text,
    role: fc.constantFrom('user', 'assistant', 'system'),
    phase: fc.constantFrom('commentary', 'final_answer', null),
    content: fc.oneof(text, anything),
    call_id: fc.constantFrom('a', 'b'),
    name: fc.constantFrom('f', 'g'),
    namespace: fc.constantFrom('f', null),
    arguments: text,
    input: text,
    output: fc.oneof(text, anything),
    summary: fc.constantFrom([], [{ type: 'summary_text', text: 'x' }]),
    encrypted_content: fc.oneof(text, fc.constant(null)),
    tools: fc.array(tool, { maxLength: 2 }),
  },
  { requiredKeys: ['type', 'role', 'call_id', 'name', 'arguments', 'input', 'output'] },
);
const fields = {
  messages: fc.oneof(fc.array(message, { maxLength: 4 }), fc.array(blockMessage, { maxLength: 4 }), anything),
  input: fc.oneof(text, fc.array(message, { maxLength: 3 }), fc.array(item, { maxLength: 4 }), anything),
  previous_response_id: fc.oneof(text, anything),
  store: fc.oneof(fc.boolean(), anything),
  background: fc.oneof(fc.boolean(), anything),
  system: fc.oneof(text, anything),
  thinking: fc.oneof(fc.constant({ type: 'enabled', budget_tokens: 1024 }), anything),
  stop_sequences: fc.oneof(fc.array(text, { maxLength: 3 }), anything),
  allowed_token_ids: fc.oneof(fc.array(fc.nat({ max: 5000 }), { maxLength: 3 }), anything),
  bad_words: fc.oneof(fc.array(text, { maxLength: 3 }), anything),
  include_stop_str_in_output: fc.oneof(fc.boolean(), anything),
  include_reasoning: fc.oneof(fc.boolean(), anything),
  chat_template_kwargs: fc.oneof(fc.dictionary(fc.constantFrom('reasoning_effort', 'x'), text), anything),
  echo: fc.oneof(fc.boolean(), anything),
  prompt: fc.oneof(text, fc.array(fc.nat({ max: 5000 }), { maxLength: 5 }), anything),
  tokens: fc.oneof(fc.array(fc.nat({ max: 5000 }), { maxLength: 5 }), anything),
  tools: fc.oneof(fc.array(tool, { maxLength: 2 }), anything),
  tool_choice: fc.oneof(fc.constantFrom('auto', 'none', 'required'), anything),
  response_format: fc.oneof(
    fc.constant({ type: 'json_object' }),
    fc.record({ type: fc.constant('json_schema'), json_schema: fc.record({ name: text, schema }) }),
    anything,
  ),
  text: fc.oneof(fc.record({ format: fc.record({ type: fc.constant('json_schema'), name: text, schema }) }), anything),
  stream: fc.oneof(fc.boolean(), anything),
  n: fc.oneof(fc.integer({ min: -1, max: 4 }), anything),
  temperature: fc.oneof(fc.double({ min: 0, max: 2, noNaN: true }), anything),
  top_p: fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), anything),
  seed: fc.oneof(fc.integer(), anything),
  stop: fc.oneof(text, anything),
  logprobs: fc.oneof(fc.boolean(), fc.nat({ max: 21 }), anything),
  top_logprobs: fc.oneof(fc.nat({ max: 21 }), anything),
  stop_token_ids: fc.oneof(fc.array(fc.nat({ max: 5000 }), { maxLength: 3 }), anything),
  max_tokens: fc.oneof(fc.integer({ min: 0, max: 30 }), anything),
  reasoning_effort: fc.oneof(fc.constantFrom('none', 'low', 'max'), anything),
  reasoning: fc.oneof(
    fc.record({ effort: fc.constantFrom('low', 'high'), summary: fc.constantFrom('auto', 'none', null) }),
    anything,
  ),
  parallel_tool_calls: fc.oneof(fc.boolean(), anything),
  stream_options: fc.oneof(fc.record({ include_usage: fc.boolean() }), anything),
  metadata: fc.oneof(fc.dictionary(text, text, { maxKeys: 3 }), anything),
  include: fc.oneof(fc.constantFrom(['message.output_text.logprobs'], ['reasoning.encrypted_content']), anything),
  model: fc.oneof(fc.constantFrom('scripted', null), anything),
  logit_bias: fc.oneof(fc.dictionary(fc.nat({ max: 5000 }).map(String), fc.integer()), anything),
};

/** One or two fields with other values. */
const replacement = fc
  .subarray(Object.keys(fields) as (keyof typeof fields)[], { minLength: 1, maxLength: MOST_REPLACED })
  .chain((names) => fc.record(Object.fromEntries(names.map((name) => [name, fields[name] as fc.Arbitrary<unknown>]))));

/** How many bodies each path answered, and how many it refused. */
export interface Outcomes {
  readonly answered: ReadonlyMap<Path, number>;
  readonly refused: ReadonlyMap<Path, number>;
}

/** Sends bodies, and fails at the first that crashes the server, hangs it, or gives a 500. */
export async function checkBodies(
  server: RunningServer,
  runs: { readonly numRuns: number; readonly seed?: number },
): Promise<Outcomes> {
  const answered = new Map<Path, number>();
  const refused = new Map<Path, number>();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...PATHS), replacement, async (path, replaced) => {
      const response = await post(
        server,
        path,
        { ...GOOD[path], ...replaced },
        { signal: AbortSignal.timeout(10_000) },
      );
      const answer = await response.text();
      const missing = typeof replaced['model'] === 'string' || answer.includes('item_not_found');
      const expected = missing ? [200, 400, 404] : [200, 400];
      assert.equal(expected.includes(response.status), true, `${response.status}: ${answer}`);
      assert.doesNotMatch(answer, /"type":"server_error"|worker_crashed/);
      if (response.status === 400) assert.match(answer, /"type":"invalid_request_error"/);
      if (response.status === 404) return;
      const counts = response.status === 200 ? answered : refused;
      counts.set(path, (counts.get(path) ?? 0) + 1);
    }),
    runs,
  );
  return { answered, refused };
}
