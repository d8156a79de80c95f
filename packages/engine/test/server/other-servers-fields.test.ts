import assert from 'node:assert/strict';
import type { RunningServer } from '../../src/server/start-server.ts';
import { echoed, errorOf, post, scripted, startScriptedServer } from './test-server.ts';

const FINAL = '<|channel|>final<|message|>';
const THOUGHT = '<|channel|>analysis<|message|>hm<|end|><|start|>assistant';

/** What each route needs beside the field. */
const ROUTES = {
  '/v1/chat/completions': (text: string): object => ({ messages: [{ role: 'user', content: text }], temperature: 0 }),
  '/v1/responses': (text: string): object => ({ input: text, temperature: 0 }),
  '/v1/completions': (text: string): object => ({ prompt: text, temperature: 0, max_tokens: 100 }),
} as const;
type Route = keyof typeof ROUTES;
const NAMES = Object.keys(ROUTES) as Route[];

/** What any of the routes answers. */
interface Answer {
  readonly choices?: readonly { readonly message?: { readonly content: string }; readonly text?: string }[];
  readonly output_text?: string;
}
const textOf = ({ output_text: text, choices: [choice] = [] }: Answer): string =>
  text ?? choice?.message?.content ?? choice?.text ?? '';

/** Fields of vLLM's, SGLang's and llama.cpp's that would change the answer and are refused: a value that does, and its default, which does not. */
const REFUSED: readonly (readonly [field: string, value: unknown, unset: unknown])[] = [
  ['guided_json', {}, null],
  ['guided_regex', 'a', null],
  ['guided_choice', ['a'], null],
  ['guided_grammar', 'a', null],
  ['guided_whitespace_pattern', 'a', null],
  ['structured_outputs', {}, null],
  ['min_tokens', 1, 0],
  ['prompt_logprobs', 1, null],
  ['prompt_embeds', 'AAAA', null],
  ['use_beam_search', true, false],
  ['best_of', 2, 1],
  ['modalities', ['text', 'audio'], ['text']],
  ['length_penalty', 0.5, 1],
  ['early_stopping', true, false],
  ['logits_processors', ['a'], null],
  ['truncate_prompt_tokens', 5, null],
  ['continue_final_message', true, false],
  ['add_generation_prompt', false, true],
  ['chat_template', 'a', null],
  ['documents', [], null],
  ['skip_special_tokens', false, true],
  ['return_tokens_as_token_ids', true, false],
  ['return_token_ids', true, false],
  ['thinking_token_budget', 5, null],
  ['vllm_xargs', {}, null],
  ['regex', 'a', null],
  ['ebnf', 'root ::= "a"', null],
  ['structural_tag', {}, null],
  ['stop_regex', 'a', null],
  ['no_stop_trim', true, false],
  ['custom_logit_processor', 'a', null],
  ['grammar', 'root ::= "a"', null],
  ['json_schema', {}, null],
  ['n_predict', 5, -1],
  ['samplers', ['top_k'], null],
  ['typical_p', 0.5, 1],
  ['mirostat', 2, 0],
  ['dynatemp_range', 0.5, 0],
  ['dry_multiplier', 0.8, 0],
  ['xtc_probability', 0.5, 0],
];

describe("other servers' fields", () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  const send = (route: Route, text: string, more: object): Promise<Response> =>
    post(server, route, { ...ROUTES[route](text), ...more });
  const contentOf = async (route: Route, answer: string, more: object = {}): Promise<string> => {
    const text = scripted(route === '/v1/completions' ? answer.replaceAll(FINAL, '') : answer);
    const response = await send(route, text, more);
    const body = (await response.json()) as Answer;
    assert.equal(response.status, 200, JSON.stringify(body));
    return textOf(body);
  };

  for (const [field, value, unset] of REFUSED) {
    it(`that would change the answer are refused by name, and taken where they do not: ${field}`, async () => {
      for (const route of NAMES) {
        const response = await send(route, 'x', { [field]: value });
        const error = await errorOf(response);
        assert.deepEqual([response.status, error.param], [400, field], `${route}: ${error.message}`);
        assert.match(error.message, /not supported: [\w/]/);
        assert.equal((await send(route, 'x', { [field]: unset })).status, 200, route);
      }
    });
  }

  it('of another route that have another name are refused, with the name', async () => {
    const cases: readonly (readonly [route: Route, field: string, value: unknown, name: RegExp])[] = [
      ['/v1/responses', 'max_tokens', 5, /max_output_tokens/],
      ['/v1/responses', 'max_completion_tokens', 5, /max_output_tokens/],
      ['/v1/responses', 'reasoning_effort', 'low', /reasoning\.effort/],
      ['/v1/responses', 'response_format', { type: 'json_object' }, /text\.format/],
      ['/v1/responses', 'n', 2, /one answer/],
      ['/v1/chat/completions', 'echo', true, /not repeated/],
    ];
    for (const [route, field, value, name] of cases) {
      const response = await send(route, 'x', { [field]: value });
      const error = await errorOf(response);
      assert.deepEqual([response.status, error.param], [400, field], error.message);
      assert.match(error.message, name);
    }
  });

  it('stop strings are in the output where include_stop_str_in_output says so', async () => {
    for (const route of NAMES) {
      const answer = `${FINAL}one STOP two`;
      assert.equal(await contentOf(route, answer, { stop: ['STOP'] }), 'one ');
      assert.equal(await contentOf(route, answer, { stop: ['STOP'], include_stop_str_in_output: true }), 'one STOP');
    }
  });

  it('allowed_token_ids are the only ones that come, and ids without a token are refused', async () => {
    const ids = async (text: string): Promise<number[]> =>
      ((await (await post(server, '/tokenize', { prompt: text })).json()) as { tokens: number[] }).tokens;
    const allowed = await ids(' b');
    for (const route of NAMES) {
      const text = await contentOf(route, `${FINAL}anything`, {
        allowed_token_ids: allowed,
        ...(route === '/v1/responses' ? { max_output_tokens: 3 } : { max_tokens: 3 }),
      });
      assert.match(text, /^ ?b(?: b)*$/);
      for (const wrong of [[], [4096], ['a']]) {
        const response = await send(route, 'x', { allowed_token_ids: wrong });
        assert.equal(response.status, 400);
        assert.match((await errorOf(response)).param ?? '', /^allowed_token_ids/);
      }
    }
  });

  it('bad_words do not come, at the start of a text, behind a space, and in pieces', async () => {
    for (const route of NAMES) {
      const answer = `${FINAL}wonderful weather, wonderful`;
      const text = await contentOf(route, answer, { bad_words: ['wonderful'] });
      assert.doesNotMatch(text, /wonderful/);
      assert.equal(
        await contentOf(route, answer, { bad_words: ['final', 'analysis'] }),
        'wonderful weather, wonderful',
      );
    }
  });

  it('include_reasoning: false leaves the reasoning out, streamed or not', async () => {
    const answer = `${THOUGHT}${FINAL}so`;
    const SHOWN = /"reasoning_(?:text|content)"/;
    for (const stream of [false, true]) {
      for (const route of ['/v1/chat/completions', '/v1/responses'] as const) {
        const text = await (await send(route, scripted(answer), { include_reasoning: false, stream })).text();
        assert.doesNotMatch(text, SHOWN, route);
        assert.match(text, /"so"/);
        assert.match(await (await send(route, scripted(answer), { stream })).text(), SHOWN);
      }
    }
  });

  it('chat_template_kwargs are taken where the template has them, and refused by name otherwise', async () => {
    for (const route of ['/v1/chat/completions', '/v1/responses'] as const) {
      const kwargs = { reasoning_effort: 'high', model_identity: 'You are a sailor.' };
      const response = await send(route, 'ECHO PROMPT', { chat_template_kwargs: kwargs });
      assert.match(
        echoed(textOf((await response.json()) as Answer)),
        /^<\|start\|>system<\|message\|>You are a sailor\..*Reasoning: high/s,
      );
      const refused = await send(route, 'x', { chat_template_kwargs: { enable_thinking: false } });
      assert.deepEqual([refused.status, (await errorOf(refused)).param], [400, 'chat_template_kwargs.enable_thinking']);
    }
  });

  it('a schema beside json_object is followed', async () => {
    const schema = { type: 'object', properties: { n: { const: 7 } }, required: ['n'], additionalProperties: false };
    const body = await send('/v1/chat/completions', scripted('nothing of the kind'), {
      response_format: { type: 'json_object', schema },
    });
    const { choices } = (await body.json()) as { choices: { message: { content: string } }[] };
    assert.deepEqual(JSON.parse(choices[0]?.message.content ?? ''), { n: 7 });
  });

  it('echo puts the prompt before the completion, streamed or not, for texts and for ids', async () => {
    const prompt = scripted(' and on');
    const { tokens } = (await (await post(server, '/tokenize', { prompt })).json()) as { tokens: number[] };
    for (const given of [prompt, tokens]) {
      const body = { prompt: [given, given], echo: true, max_tokens: 100, temperature: 0 };
      const { choices } = (await (await post(server, '/v1/completions', body)).json()) as {
        choices: { text: string }[];
      };
      assert.deepEqual(
        choices.map(({ text }) => text),
        [`${prompt} and on`, `${prompt} and on`],
      );
      const streamed = await (await post(server, '/v1/completions', { ...body, stream: true })).text();
      const texts = ['', ''];
      for (const [, json] of streamed.matchAll(/^data: (\{.*)$/gm)) {
        const chunk = JSON.parse(json ?? '') as { choices: { index: number; text: string }[] };
        for (const { index, text } of chunk.choices) texts[index] += text;
      }
      assert.deepEqual(texts, [`${prompt} and on`, `${prompt} and on`]);
    }
  });

  it('refusals in the history are what the assistant said', async () => {
    const cases: readonly [Route, object][] = [
      [
        '/v1/chat/completions',
        {
          messages: [
            { role: 'user', content: 'ECHO PROMPT' },
            { role: 'assistant', content: [{ type: 'refusal', refusal: 'I will not.' }] },
            { role: 'user', content: 'well' },
          ],
        },
      ],
      [
        '/v1/chat/completions',
        {
          messages: [
            { role: 'user', content: 'ECHO PROMPT' },
            { role: 'assistant', content: null, refusal: 'I will not.' },
            { role: 'user', content: 'well' },
          ],
        },
      ],
      [
        '/v1/responses',
        {
          input: [
            { role: 'user', content: 'ECHO PROMPT' },
            { type: 'message', role: 'assistant', content: [{ type: 'refusal', refusal: 'I will not.' }] },
            { role: 'user', content: 'well' },
          ],
        },
      ],
    ];
    for (const [route, body] of cases) {
      const answer = (await (await post(server, route, body)).json()) as Answer;
      assert.match(echoed(textOf(answer)), /<\|channel\|>final<\|message\|>I will not\.<\|end\|>/);
    }
  });
});
