import assert from 'node:assert/strict';
import { request } from 'node:http';
import { networkInterfaces } from 'node:os';
import type { RunningServer } from '../../src/server/start-server.ts';
import { errorOf, post, scripted, startScriptedServer } from './test-server.ts';

const CHAT = '/v1/chat/completions';
const FINAL = '<|channel|>final<|message|>';
const chat = (content: string, more: object = {}): object => ({
  messages: [{ role: 'user', content }],
  temperature: 0,
  ...more,
});

/** Sends a body in chunks, without a content-length. */
function postChunked(
  server: RunningServer,
  path: string,
  pieces: readonly (string | Buffer)[],
): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const call = request(`${server.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' } });
    call.on('error', reject);
    call.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (data: string) => {
        text += data;
      });
      response.on('end', () => resolve([response.statusCode ?? 0, text]));
    });
    for (const piece of pieces) call.write(piece);
    call.end();
  });
}

describe('a server', () => {
  it('listens on loopback unless told otherwise, and refuses a port that is taken', async () => {
    await using server = await startScriptedServer();
    await server.ready;
    assert.equal(server.host, '127.0.0.1');
    for (const { address, family, internal } of Object.values(networkInterfaces()).flatMap((list) => list ?? [])) {
      if (internal || family !== 'IPv4') continue;
      await assert.rejects(fetch(`http://${address}:${server.port}/health`), { message: 'fetch failed' });
    }
    await assert.rejects(startScriptedServer({ port: server.port }), {
      code: 'CANNOT_LISTEN',
      message: /choose another port with --port$/,
    });
  });
});

describe('requests', () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  it('may send their body in chunks, cut anywhere', async () => {
    const body = Buffer.from(JSON.stringify(chat(`é🧀 ${scripted(`${FINAL}fine`)}`)));
    const bytes = Array.from(body, (_, index) => body.subarray(index, index + 1));
    for (const pieces of [[body], bytes, ['\ufeff', body]]) {
      const [status, text] = await postChunked(server, CHAT, pieces);
      assert.equal(status, 200, text);
      assert.match(text, /"content":"fine"/);
    }
    assert.equal((await postChunked(server, CHAT, []))[0], 400);
  });

  it('with a method that a path does not have get 405 and the one it has; unknown paths get 404', async () => {
    const routes = [
      [CHAT, 'POST'],
      ['/v1/responses', 'POST'],
      ['/v1/completions', 'POST'],
      ['/v1/score', 'POST'],
      ['/tokenize', 'POST'],
      ['/detokenize', 'POST'],
      ['/v1/models', 'GET, HEAD'],
      ['/v1/models/scripted', 'GET, HEAD'],
      ['/metrics', 'GET, HEAD'],
    ] as const;
    for (const [path, allow] of routes) {
      for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
        if (allow.startsWith(method)) continue;
        const response = await fetch(`${server.url}${path}`, { method });
        assert.equal(response.status, 405, `${method} ${path}`);
        assert.equal(response.headers.get('allow'), allow);
        assert.equal((await errorOf(response)).code, 'method_not_allowed');
      }
    }
    for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) {
      const response = await fetch(`${server.url}/v1/nothing`, { method });
      assert.equal(response.status, 404);
      assert.equal((await errorOf(response)).code, 'unknown_url');
    }
  });

  it('for another model get 404 and its name', async () => {
    const bodies = {
      [CHAT]: chat('x'),
      '/v1/responses': { input: 'x' },
      '/v1/completions': { prompt: 'x' },
      '/v1/score': { input: 'x' },
      '/tokenize': { prompt: 'x' },
      '/detokenize': { tokens: [1] },
    };
    for (const [path, body] of Object.entries(bodies)) {
      const response = await post(server, path, { ...body, model: 'gpt-5' });
      const error = await errorOf(response);
      assert.equal(response.status, 404, path);
      assert.deepEqual([error.type, error.param, error.code], ['not_found_error', 'model', 'model_not_found']);
      assert.match(error.message, /gpt-5.*scripted/);
      assert.equal((await post(server, path, { ...body, model: 'scripted' })).status, 200, path);
    }
  });

  it('that are wrong hear which field is, and what it may be', async () => {
    const format = (response_format: unknown): object => chat('x', { response_format });
    const biases = (count: number): object => Object.fromEntries(Array.from({ length: count }, (_, id) => [id, 1]));
    const cases: readonly [path: string, body: unknown, param: string | null, message: RegExp][] = [
      [CHAT, chat('x', { tool_choice: 'sometimes' }), 'tool_choice', /give one of "none", "auto", "required", object/],
      [CHAT, format({ type: 'json' }), 'response_format.type', /give one of "text", "json_object", "json_schema"/],
      [CHAT, format({ type: 'json_schema' }), 'response_format.json_schema', /expected object/],
      [
        CHAT,
        { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
        'messages[0].content[0].type',
        /only text/,
      ],
      [CHAT, chat('x', { seed: 1.5 }), 'seed', /give an integer/],
      [CHAT, chat('x', { max_tokens: 0 }), 'max_tokens', /Too small/],
      ['/v1/responses', {}, 'input', /give one of string, array/],
      ['/v1/responses', { input: [{ type: 'item_reference' }] }, 'input[0].id', /string/],
      ['/v1/responses', { input: [{ type: 'computer_call' }] }, 'input[0].type', /"message", "function_call"/],
      [
        '/v1/responses',
        { input: [{ role: 'user', content: [{ type: 'input_image' }] }] },
        'input[0].content[0].type',
        /only text/,
      ],
      ['/v1/responses', { input: 'x', tools: [{ type: 'telepathy' }] }, 'tools[0].type', /function/],
      ['/v1/responses', { input: 'a '.repeat(140_000) }, 'input', /too long/],
      ['/v1/completions', { prompt: [9999] }, 'prompt[0]', /^prompt\[0\].*0 to 4095/],
      ['/v1/completions', { prompt: '' }, 'prompt', /Too small/],
      ['/v1/completions', { prompt: 'a '.repeat(140_000) }, 'prompt', /too long/],
      ['/v1/completions', { prompt: Array.from({ length: 17 }, () => 'x') }, 'prompt', /at most 16/],
      ['/v1/score', { input: [9999] }, 'input[0]', /0 to 4095/],
      ['/v1/score', { input: [[1], [2, 9999]] }, 'input[1][1]', /0 to 4095/],
      ['/v1/score', { text: 'x' }, 'input', /give one of string, array/],
      ['/v1/score', { input: ['a', ''] }, 'input[1]', /Too small/],
      ['/v1/score', { input: [[1], 'a'] }, 'input[1]', /array/],
      [CHAT, chat('x', { functions: [] }), 'functions', /tools/],
      [
        CHAT,
        { messages: [{ role: 'assistant', content: null, function_call: { name: 'f', arguments: '{}' } }] },
        'messages[0].function_call',
        /tool_calls/,
      ],
      [CHAT, chat('x', { guided_json: { type: 'object' } }), 'guided_json', /response_format/],
      [CHAT, chat('x', { structured_outputs: { choice: ['a'] } }), 'structured_outputs', /response_format/],
      [CHAT, chat('x', { min_tokens: 5 }), 'min_tokens', /ignore_eos/],
      ['/v1/completions', { prompt: 'x', prompt_logprobs: 1 }, 'prompt_logprobs', /score/],
      ['/v1/completions', { prompt: 'x', use_beam_search: true }, 'use_beam_search', /choose/],
      ['/v1/completions', { prompt: 'x', response_format: { type: 'json_object' } }, 'response_format', /chat/],
      [CHAT, chat('x', { function_call: 'auto' }), 'function_call', /tool_choice/],
      ['/v1/responses', { input: 'x', conversation: 'conv_1' }, 'conversation', /input/],
      ['/v1/responses', { input: 'x', background: true, store: false }, 'background', /store/],
      ['/v1/completions', { prompt: 'x', suffix: 'y' }, 'suffix', /not supported/],
      ['/v1/completions', { prompt: 'x', best_of: 3 }, 'best_of', /n choices/],
      ['/detokenize', { tokens: [1, 9999] }, 'tokens[1]', /0 to 4095/],
      ['/tokenize', { prompt: 'a '.repeat(140_000) }, 'prompt', /too long · found more than 131072 tokens/],
      ['/tokenize', { messages: [{ role: 'user', content: 'a '.repeat(140_000) }] }, 'messages', /too long/],
      ['/tokenize', {}, 'prompt', /exactly one/],
      [CHAT, chat('x', { logit_bias: biases(1025) }), 'logit_bias', /found 1025 entries, give at most 1024/],
      [CHAT, chat('x', { logit_bias: { word: 1 } }), 'logit_bias.word', /keys are token ids/],
      [CHAT, chat('x', { logit_bias: [1] }), 'logit_bias', /object/],
      ['/v1/responses', { input: 'x', metadata: biases(17) }, 'metadata', /at most 16/],
      ['/tokenize', { prompt: 'a', messages: [{ role: 'user', content: 'x' }] }, 'prompt', /exactly one/],
      [CHAT, 7, null, /expected object/],
    ];
    for (const [path, body, param, message] of cases) {
      const response = await post(server, path, body);
      const error = await errorOf(response);
      assert.equal(response.status, 400, error.message);
      assert.equal(error.param, param, error.message);
      assert.match(error.message, message);
    }
  });

  it('may leave out what is not supported by its usual defaults', async () => {
    const unset = { guided_json: null, min_tokens: 0, prompt_logprobs: null, use_beam_search: false };
    assert.equal((await post(server, CHAT, chat(scripted(`${FINAL}fine`), unset))).status, 200);
    assert.equal((await post(server, '/v1/completions', { prompt: 'x', max_tokens: 1, ...unset })).status, 200);
  });

  it('may have no text to turn into tokens, and as many biases as allowed', async () => {
    const none = await post(server, '/tokenize', { prompt: '' });
    assert.deepEqual(await none.json(), { count: 0, max_model_len: 131_072, tokens: [] });
    const logit_bias = Object.fromEntries(Array.from({ length: 1024 }, (_, id) => [id, 0.5]));
    assert.equal((await post(server, CHAT, chat(scripted(`${FINAL}fine`), { logit_bias }))).status, 200);
  });

  it('with a schema that cannot be enforced whole get 400 at once, with the keyword and where it stands', async () => {
    const schema = { type: 'object', properties: { 'a/b': { type: 'string', pattern: '(?<=a)b' } } };
    const format = { response_format: { type: 'json_schema', json_schema: { name: 'a', schema } } };
    for (const stream of [false, true]) {
      const error = await errorOf(await post(server, CHAT, chat('x', { ...format, stream })));
      assert.equal(error.param, 'response_format.json_schema.schema');
      assert.match(error.message, /"pattern" at #\/properties\/a~1b\/pattern/);
    }
  });

  it('may have any integer as a seed, and their choices have seeds of their own', async () => {
    for (const seed of ['9223372036854775807', '-9223372036854775808', '-1', '0']) {
      const body = `{"messages":[{"role":"user","content":"x"}],"n":3,"seed":${seed}}`;
      assert.equal((await post(server, CHAT, body)).status, 200, seed);
    }
  });

  it('of several prompts are billed for each of them, choices of one prompt for one', async () => {
    const usageOf = async (body: object): Promise<{ prompt_tokens: number; completion_tokens: number }> => {
      const response = await post(server, '/v1/completions', { ...body, max_tokens: 3 });
      return ((await response.json()) as { usage: { prompt_tokens: number; completion_tokens: number } }).usage;
    };
    assert.equal(
      (
        await usageOf({
          prompt: [
            [1, 2, 3],
            [4, 5],
          ],
        })
      ).prompt_tokens,
      5,
    );
    assert.equal(
      (
        await usageOf({
          prompt: [
            [1, 2, 3],
            [4, 5],
          ],
          n: 2,
        })
      ).prompt_tokens,
      5,
    );
    assert.equal((await usageOf({ prompt: [1, 2, 3], n: 4 })).prompt_tokens, 3);
  });

  it('are refused however large and wrong they are, without a stop of the server', async () => {
    const many = (item: string): string => `${`${item},`.repeat(Math.floor(3.9e6 / (item.length + 1)))}${item}`;
    const cases: readonly [path: string, body: string, param: string][] = [
      ['/v1/completions', `{"prompt":[${many('[]')}]}`, 'prompt[0]'],
      ['/v1/score', `{"input":[${many('[]')}]}`, 'input[0]'],
      ['/detokenize', `{"tokens":[${many('-1')}]}`, 'tokens[0]'],
      [CHAT, `{"messages":[${many('{}')}]}`, 'messages[0].role'],
      [CHAT, `{"messages":[${many('1')}]}`, 'messages[0]'],
      [CHAT, `{"messages":[{"role":"user","content":[${many('{}')}]}]}`, 'messages[0].content[0].type'],
      [CHAT, `{"messages":[{"role":"user","content":"x"}],"stop":[${many('1')}]}`, 'stop[0]'],
      [CHAT, `{"messages":[{"role":"user","content":"x"}],"tools":[${many('{}')}]}`, 'tools[0].type'],
      ['/v1/responses', `{"input":[${many('{}')}]}`, 'input[0].role'],
      ['/v1/responses', `{"input":"x","include":[${many('1')}]}`, 'include[0]'],
      // Every one of these is a single piece to the tokenizer.
      [CHAT, JSON.stringify(chat('\n'.repeat(1.9e6))), 'messages'],
      [CHAT, JSON.stringify(chat('a'.repeat(3.9e6))), 'messages'],
      ['/v1/score', JSON.stringify({ input: ' '.repeat(3.9e6) }), 'input'],
    ];
    for (const [path, body, param] of cases) {
      const error = await errorOf(await post(server, path, body));
      assert.deepEqual([error.type, error.param], ['invalid_request_error', param], error.message);
    }
  });
});
