import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { Engine } from '../../src/engine.ts';
import { type RunningServer, startServer } from '../../src/server/start-server.ts';
import { FUZZ_SEED } from '../fixtures/fuzz-seed.ts';
import { writePaddedCheckpoint } from '../fixtures/padded-checkpoint.ts';
import { type Path, type RandomRequest, randomRequest } from './random-requests.ts';
import { metric, post, untilMetric } from './test-server.ts';

/** Three thousand in the full level, or `SWITCHYARD_FUZZ` of them. */
const REQUESTS = Number(
  process.env['SWITCHYARD_FUZZ'] ?? (process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? 3000 : 300),
);
/** Requests under way at once. */
const TOGETHER = 6;
/** Then a request counts as hanging. */
const TIMEOUT_MS = 60_000;

const STATUSES = [200, 400, 404];
const GENERATING: readonly Path[] = ['/v1/chat/completions', '/v1/responses', '/v1/completions'];

/** Reads an answer as far as its client does; null where the client went away. */
async function read(response: Response, { leavesAfter }: RandomRequest, leave: () => void): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = '';
  let pieces = 0;
  for await (const piece of response.body ?? []) {
    text += decoder.decode(piece as Uint8Array, { stream: true });
    pieces += 1;
    if (pieces === leavesAfter) {
      leave();
      return null;
    }
  }
  return text;
}

/** The answer's status and text; null where the client went away. */
async function send(server: RunningServer, request: RandomRequest): Promise<{ status: number; text: string } | null> {
  const client = new AbortController();
  const signal = AbortSignal.any([client.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    const answer = post(server, request.path, request.body, { signal });
    if (request.leavesAfter === 0) setImmediate(() => client.abort());
    const response = await answer;
    const text = await read(response, request, () => client.abort());
    return text === null ? null : { status: response.status, text };
  } catch (error) {
    if (client.signal.aborted) return null;
    throw error;
  }
}

function checkAnswer(status: number, text: string): void {
  assert.ok(STATUSES.includes(status), `${status}: ${text}`);
  assert.doesNotMatch(text, /"type":"server_error"|response\.failed|worker_crashed|delivery_failed/);
  if (status !== 200) assert.match(text, /^\{"error":\{"message":".+"type":"(?:invalid_request|not_found)_error"/s);
  else if (text.startsWith('data: ')) assert.ok(text.endsWith('data: [DONE]\n\n'), text);
  else if (text.startsWith('event: ')) assert.match(text, /event: response\.(?:completed|incomplete)\n.+\n\n$/);
  else JSON.parse(text);
}

interface ChatBody {
  readonly response_format?: { readonly type: string; readonly json_schema?: { readonly schema: object } } | null;
  readonly stop?: unknown;
  readonly stop_token_ids?: unknown;
}

interface ChatAnswer {
  readonly choices: readonly {
    readonly finish_reason: string;
    readonly message: { readonly content: string | null };
  }[];
}

/** Whole answers that had to be JSON are what their schema says. Returns how many there were. */
function checkFormats({ path, body }: RandomRequest, status: number, text: string): number {
  if (path !== '/v1/chat/completions' || status !== 200 || !text.startsWith('{')) return 0;
  const { response_format: format, stop, stop_token_ids: stopIds } = JSON.parse(body) as ChatBody;
  // A stop string or token may end the answer anywhere.
  if (format == null || format.type === 'text' || stop != null || stopIds != null) return 0;
  const validate = new Ajv2020({ strict: false }).compile(format.json_schema?.schema ?? { type: 'object' });
  let checked = 0;
  for (const { finish_reason: reason, message } of (JSON.parse(text) as ChatAnswer).choices) {
    if (reason !== 'stop') continue;
    assert.ok(validate(JSON.parse(message.content ?? '')), `${body}: ${message.content}`);
    checked += 1;
  }
  return checked;
}

describe('a server whose model has more logits than tokens', () => {
  let folder: string;
  let server: RunningServer;
  const loads: number[] = [];

  before(async () => {
    folder = await writePaddedCheckpoint(5000);
    const load = (): Promise<Engine> => {
      loads.push(performance.now());
      return Engine.load(folder, {
        runnerModule: new URL('./random-runner.ts', import.meta.url),
        // Two of the longest sequences: jobs lose their memory to others.
        kvCacheBytes: 2 ** 20,
        maxCachedPrefixes: 4,
      });
    };
    server = await startServer(load, 'random', { port: 0 });
    await server.ready;
  });
  after(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  it(`survives ${REQUESTS} requests at the edges of every parameter, and answers each`, async function () {
    this.timeout(Math.max(60_000, REQUESTS * 1000));
    const counts = new Map<string, number>();
    const count = (name: string): number => {
      const next = (counts.get(name) ?? 0) + 1;
      counts.set(name, next);
      return next;
    };
    await fc.assert(
      fc.asyncProperty(fc.array(randomRequest, { minLength: TOGETHER, maxLength: TOGETHER }), async (requests) => {
        await Promise.all(
          requests.map(async (request) => {
            const answer = await send(server, request);
            if (answer === null) {
              count('left');
              return;
            }
            checkAnswer(answer.status, answer.text);
            checkFormats(request, answer.status, answer.text);
            count(`${request.path} ${answer.status}`);
          }),
        );
        assert.equal(loads.length, 1, 'the worker crashed');
      }),
      // A failure is told with its seed and its requests; smaller ones would each have to wait for a hanging request.
      { numRuns: Math.ceil(REQUESTS / TOGETHER), seed: 2026, ...FUZZ_SEED, endOnFailure: true },
    );
    // Otherwise the test would say nothing of what comes after validation.
    for (const path of GENERATING) {
      const answered = counts.get(`${path} 200`) ?? 0;
      assert.ok(answered >= REQUESTS / 30, `${path} answered ${answered}`);
    }
    assert.ok((counts.get('left') ?? 0) >= REQUESTS / 30);
  });

  it('holds answers to their format, whatever the model would rather write', async () => {
    const flag = { type: 'boolean' };
    const schemas = [
      { enum: ['a', 1, null] },
      { type: 'integer', minimum: -20, maximum: 20 },
      { type: 'array', items: flag, minItems: 1, maxItems: 3 },
      {
        type: 'object',
        properties: { a: flag, b: { enum: ['x', 'y'] } },
        required: ['a'],
        additionalProperties: false,
      },
    ];
    let checked = 0;
    // Each has a seed: the same answers in every run.
    for (let seed = 0; seed < 40; seed += 1) {
      const schema = schemas[seed % schemas.length];
      const body = JSON.stringify({
        messages: [{ role: 'user', content: 'a' }],
        response_format: { type: 'json_schema', json_schema: { name: 'a', schema } },
        seed,
        max_tokens: 200,
      });
      const response = await post(server, '/v1/chat/completions', body);
      const text = await response.text();
      checkAnswer(response.status, text);
      checked += checkFormats({ path: '/v1/chat/completions', body, leavesAfter: null }, response.status, text);
    }
    assert.ok(checked >= 10, `${checked} answers came to their end`);
  });

  it('has nothing left to do afterwards, and answers as before', async () => {
    await untilMetric(server, 'vllm:num_requests_running', 0);
    assert.equal(await metric(server, 'vllm:num_requests_waiting'), 0);
    assert.equal(await metric(server, 'switchyard:blocked_streams'), 0);
    assert.equal(server.state, 'ready');
    const response = await post(server, '/v1/completions', { prompt: 'a', max_tokens: 8, temperature: 0 });
    assert.equal(response.status, 200);
    assert.match(await response.text(), /"completion_tokens":[1-8]\D/);
  });
});
