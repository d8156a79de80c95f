import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { RunningServer } from '../../src/server/start-server.ts';
import { post, scripted, startScriptedServer } from './test-server.ts';

const ANSWER = scripted('<|channel|>final<|message|>fine');

/** A good body for every path. Fuzzing replaces some of its fields: bodies that are wrong all over never reach the model. */
const GOOD = {
  '/v1/chat/completions': { messages: [{ role: 'user', content: ANSWER }], max_tokens: 20 },
  '/v1/responses': { input: ANSWER, max_output_tokens: 20 },
  '/v1/completions': { prompt: ANSWER, max_tokens: 20 },
  '/v1/score': { input: 'a text' },
  '/tokenize': { prompt: 'a text' },
  '/detokenize': { tokens: [1, 2, 3] },
} as const;

type Path = keyof typeof GOOD;

const PATHS = Object.keys(GOOD) as Path[];
const GENERATING: readonly Path[] = ['/v1/chat/completions', '/v1/responses', '/v1/completions'];
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
const tool = fc.record({
  type: fc.constant('function'),
  name: fc.constantFrom('f', 'g'),
  function: fc.record({ name: fc.constantFrom('f', 'g', 'a b'), parameters: schema }),
  parameters: schema,
});
const fields = {
  messages: fc.oneof(fc.array(message, { maxLength: 4 }), anything),
  input: fc.oneof(text, fc.array(message, { maxLength: 3 }), anything),
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
  reasoning: fc.oneof(fc.record({ effort: fc.constantFrom('low', 'high') }), anything),
  parallel_tool_calls: fc.oneof(fc.boolean(), anything),
  stream_options: fc.oneof(fc.record({ include_usage: fc.boolean() }), anything),
  metadata: fc.oneof(fc.dictionary(text, text, { maxKeys: 3 }), anything),
  include: fc.oneof(fc.constant(['message.output_text.logprobs']), anything),
  model: fc.oneof(fc.constantFrom('scripted', null), anything),
  logit_bias: fc.oneof(fc.dictionary(fc.nat({ max: 5000 }).map(String), fc.integer()), anything),
};

/** One or two fields with other values. */
const replacement = fc
  .subarray(Object.keys(fields) as (keyof typeof fields)[], { minLength: 1, maxLength: MOST_REPLACED })
  .chain((names) => fc.record(Object.fromEntries(names.map((name) => [name, fields[name] as fc.Arbitrary<unknown>]))));

describe('request bodies of every kind', () => {
  let server: RunningServer;

  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  it('never crash the server, hang it, or give a 500', async () => {
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
        const expected = typeof replaced['model'] === 'string' ? [200, 400, 404] : [200, 400];
        assert.equal(expected.includes(response.status), true, `${response.status}: ${answer}`);
        assert.doesNotMatch(answer, /"type":"server_error"|worker_crashed/);
        if (response.status === 400) assert.match(answer, /"type":"invalid_request_error"/);
        if (response.status === 404) return;
        const counts = response.status === 200 ? answered : refused;
        counts.set(path, (counts.get(path) ?? 0) + 1);
      }),
      { numRuns: 1000, seed: 20_26 },
    );
    // Otherwise the test would say nothing of what comes after validation.
    for (const path of GENERATING) {
      assert.equal((answered.get(path) ?? 0) >= 30, true, `${path} answered ${answered.get(path) ?? 0}`);
      assert.equal((refused.get(path) ?? 0) >= 30, true, `${path} refused ${refused.get(path) ?? 0}`);
    }
    assert.equal(server.state, 'ready');
  });

  it('nor do bytes that are no JSON', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...PATHS), fc.uint8Array({ maxLength: 200 }), async (path, bytes) => {
        const response = await post(server, path, '', { body: bytes, signal: AbortSignal.timeout(10_000) });
        assert.equal(response.status, 400);
        await response.text();
      }),
      { numRuns: 60, seed: 7 },
    );
  });
});
