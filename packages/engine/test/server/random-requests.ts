/** Requests at the edges of every parameter, as fast-check makes them. */

import fc from 'fast-check';

/** One request, and what its client does. */
export interface RandomRequest {
  readonly path: Path;
  /** The body's JSON text. */
  readonly body: string;
  /** The client goes away after this many pieces of the answer, 0 before the first; null where it reads to the end. */
  readonly leavesAfter: number | null;
}

export type Path =
  | '/v1/chat/completions'
  | '/v1/responses'
  | '/v1/completions'
  | '/v1/score'
  | '/tokenize'
  | '/detokenize';

/** Stands for a number that JSON.stringify cannot write and JSON.parse reads as Infinity. */
const BEYOND_F64 = '1e999';

/** Of a tokenizer with 4096 tokens and a model with 5000 logits. */
const EDGE_IDS = [0, 1, 4080, 4081, 4095, 4096, 4999, 5000, -1, 2 ** 31, 0.5];
const GOOD_IDS = [0, 1, 255, 1000, 4081, 4084, 4095];

const id = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...GOOD_IDS) },
  { weight: 1, arbitrary: fc.constantFrom(...EDGE_IDS) },
);
const ids = fc.oneof(
  { weight: 20, arbitrary: fc.array(id, { minLength: 1, maxLength: 4 }) },
  { weight: 1, arbitrary: fc.constant([]) },
);
/** One to a few of them, rarely none. */
const several = (item: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 20, arbitrary: fc.array(item, { minLength: 1, maxLength: 3 }) },
    { weight: 1, arbitrary: fc.constant([]) },
  );
const text = fc.oneof(
  fc.constantFrom(
    'a lighthouse',
    '<|start|>assistant<|channel|>final<|message|>a',
    '\ud800',
    '\u0000',
    ' ',
    '',
    'é€😀',
  ),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constant('word '.repeat(100)),
);
const plain = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom('a', 'What is a lighthouse?', 'word word word') },
  { weight: 4, arbitrary: text },
  // More than the context holds.
  { weight: 1, arbitrary: fc.constant('word '.repeat(1000)) },
);

/** Good values mostly: bodies that are wrong in several places say little. */
const mostly = (good: readonly unknown[], wrong: readonly unknown[]): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom<unknown>(...good) },
    { weight: 1, arbitrary: fc.constantFrom<unknown>(null, ...wrong) },
  );

const sampling = {
  temperature: mostly([0, 2, 0.7, 1e-308, 5e-324, -0], ['NaN', -1, 2.000001, 1e308, BEYOND_F64]),
  top_p: mostly([0, 1, 0.5, 1e-308], ['NaN', -0.1, 1.1, 1e308]),
  top_k: mostly([-1, 0, 1, 20, 4096, 4097, 5000, 2 ** 31], [-2, 1.5, 1e308, BEYOND_F64]),
  min_p: mostly([0, 1, 0.1, 1e-308], [-1, 2, 'x']),
  presence_penalty: mostly([-2, 2, 0], [-2.1, 'x', 1e308]),
  frequency_penalty: mostly([-2, 2, 0], [2.1, [], BEYOND_F64]),
  repetition_penalty: mostly([1e-308, 0.5, 1, 10], [0, -1, 11]),
  seed: mostly([0, 1, -1, 2 ** 53, -(2 ** 63), 1e308], [0.5, 'x', BEYOND_F64]),
  logit_bias: fc.oneof(
    {
      weight: 5,
      arbitrary: fc.dictionary(fc.constantFrom('0', '4081', '4084', '4095'), fc.constantFrom(-100, 0, 100), {
        maxKeys: 4,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.dictionary(
        fc.oneof(id.map(String), fc.constantFrom('', '1e3', ' 5', '0x10', '__proto__', '999999999')),
        fc.constantFrom<unknown>(-101, 100, 1e308, 'x', null),
        { maxKeys: 3 },
      ),
    },
  ),
  stop: fc.oneof(
    { weight: 10, arbitrary: fc.oneof(plain, fc.array(plain, { maxLength: 4 })) },
    { weight: 1, arbitrary: fc.constant(Array.from({ length: 17 }, () => 'x')) },
  ),
  stop_token_ids: fc.oneof(
    { weight: 10, arbitrary: ids },
    { weight: 1, arbitrary: fc.constant(Array.from({ length: 65 }, () => 1)) },
  ),
  ignore_eos: mostly([true, false], ['yes']),
  stream: mostly([true, true, false], [1]),
  stream_options: mostly([{ include_usage: true }, { include_usage: false }, {}], ['x']),
  n: mostly([1, 2, 3], [0, 16, 17, -1, 1.5]),
  model: mostly(['random', null], ['other', 7]),
};
/** `maxTokens` that end soon, at the edges, and with the context. */
const length = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom<unknown>(1, 2, 8, 24) },
  { weight: 3, arbitrary: fc.constantFrom<unknown>(200, 1e9, null) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>(0, -1, 1.5, 2 ** 53, BEYOND_F64) },
);

const schema = mostly(
  [
    { type: 'object', properties: { a: { type: 'string' } }, required: ['a'], additionalProperties: false },
    { type: 'object', properties: { a: { enum: [1, 'b', null] } } },
    { type: 'array', items: { type: 'integer' } },
    { type: 'object' },
    {},
  ],
  [{ type: 'strange' }, 'no schema'],
);
const parameters = {
  name: fc.oneof({ weight: 20, arbitrary: fc.constantFrom('f', 'g') }, { weight: 1, arbitrary: fc.constant('a b') }),
  parameters: schema,
  strict: fc.boolean(),
};
const tool = fc.record({ type: fc.constant('function'), function: fc.record(parameters, { requiredKeys: ['name'] }) });
const flatTool = fc.record({ type: fc.constant('function'), ...parameters }, { requiredKeys: ['type', 'name'] });
const toolChoice = mostly(['auto', 'none', 'required'], [{ type: 'function', name: 'f' }, 'other']);

const CALL = {
  role: 'assistant',
  content: null,
  tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{' } }],
};
const RESULT = { role: 'tool', tool_call_id: 'c', content: '1' };
const saidMessage = fc.record({ role: fc.constantFrom('user', 'system', 'developer', 'assistant'), content: plain });
const message = fc.oneof(
  { weight: 8, arbitrary: saidMessage },
  { weight: 1, arbitrary: fc.record({ role: fc.constant('assistant'), content: plain, reasoning: text }) },
  { weight: 1, arbitrary: fc.constant(CALL) },
);
/** A tool's result mostly follows its call. */
const messages = fc.oneof(
  { weight: 10, arbitrary: fc.array(message, { minLength: 1, maxLength: 3 }) },
  { weight: 2, arbitrary: text.map((content) => [CALL, { ...RESULT, content }]) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>([RESULT], []) },
);
/** As responses have them. */
const items = fc.oneof(
  { weight: 10, arbitrary: fc.array(saidMessage, { minLength: 1, maxLength: 3 }) },
  {
    weight: 2,
    arbitrary: text.map((output) => [
      { type: 'function_call', call_id: 'c', name: 'f', arguments: '{' },
      { type: 'function_call_output', call_id: 'c', output },
    ]),
  },
  { weight: 1, arbitrary: fc.constantFrom<unknown>([CALL], [RESULT], []) },
);
const promptInput = fc.oneof(plain, ids, several(plain), several(ids));

/** Rivals are only told with log-probabilities: a field alone is wrong. */
const logprobs = {
  logprobs: mostly([true, true, true], [1, false]),
  top_logprobs: mostly([0, 1, 20, undefined, undefined], [21, -1]),
};

type Fields = Readonly<Record<string, fc.Arbitrary<unknown>>>;

/** The required fields of a path, and those of which some are given. */
const BODIES: Readonly<Record<Path, { readonly required: Fields; readonly optional: Fields }>> = {
  '/v1/chat/completions': {
    required: { messages, max_tokens: length, ...logprobs },
    optional: {
      ...sampling,
      max_completion_tokens: length,
      tools: fc.array(tool, { maxLength: 2 }),
      tool_choice: toolChoice,
      parallel_tool_calls: mostly([true, false], ['x']),
      reasoning_effort: mostly(['none', 'low', 'high'], ['x']),
      response_format: fc.oneof(
        mostly([{ type: 'json_object' }, { type: 'text' }], [{ type: 'xml' }]),
        fc.record({
          type: fc.constant('json_schema'),
          json_schema: fc.record({ name: mostly(['a'], ['b c']), schema }),
        }),
      ),
    },
  },
  '/v1/responses': {
    required: { input: fc.oneof(plain, items), max_output_tokens: length },
    optional: {
      ...sampling,
      instructions: text,
      top_logprobs: mostly([0, 1, 20], [21, -1]),
      include: fc.constantFrom<unknown>(['message.output_text.logprobs'], [], 'x'),
      tools: fc.array(flatTool, { maxLength: 2 }),
      tool_choice: toolChoice,
      reasoning: mostly([{ effort: 'low' }, {}], ['x']),
      text: fc.record({
        format: fc.record({
          type: fc.constantFrom('json_schema', 'json_object', 'text'),
          name: fc.constant('a'),
          schema,
        }),
      }),
      metadata: fc.dictionary(text, text, { maxKeys: 3 }),
    },
  },
  '/v1/completions': {
    required: { prompt: promptInput, max_tokens: length },
    optional: {
      ...sampling,
      logprobs: mostly([0, 1, 20], [21, -1, true]),
      echo: mostly([false], [true]),
      suffix: mostly([''], ['x']),
      best_of: mostly([1], [2]),
    },
  },
  '/v1/score': { required: { input: promptInput }, optional: { logprobs: mostly([true, false], [1]) } },
  '/tokenize': {
    required: {},
    optional: {
      prompt: text,
      messages,
      tools: fc.array(tool, { maxLength: 2 }),
      reasoning_effort: mostly(['low'], ['x']),
    },
  },
  '/detokenize': { required: { tokens: ids }, optional: { model: sampling.model } },
};

/** Fields beside the required ones, at most. */
const MOST_OPTIONAL = 8;

function bodyOf(path: Path): fc.Arbitrary<string> {
  const { required, optional } = BODIES[path];
  return fc
    .subarray(Object.keys(optional), { maxLength: Math.min(MOST_OPTIONAL, Object.keys(optional).length) })
    .chain((names) =>
      fc.record({
        ...required,
        ...Object.fromEntries(names.map((name) => [name, optional[name] ?? fc.constant(null)])),
      }),
    )
    .map((body) => JSON.stringify(body).replaceAll(`"${BEYOND_F64}"`, BEYOND_F64));
}

const path = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Path>('/v1/chat/completions') },
  { weight: 6, arbitrary: fc.constant<Path>('/v1/completions') },
  { weight: 4, arbitrary: fc.constant<Path>('/v1/responses') },
  { weight: 2, arbitrary: fc.constant<Path>('/v1/score') },
  { weight: 1, arbitrary: fc.constant<Path>('/tokenize') },
  { weight: 1, arbitrary: fc.constant<Path>('/detokenize') },
);
const leavesAfter = fc.oneof(
  { weight: 6, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 2, 5) },
);

export const randomRequest: fc.Arbitrary<RandomRequest> = path.chain((to) =>
  fc.record({ path: fc.constant(to), body: bodyOf(to), leavesAfter }),
);
