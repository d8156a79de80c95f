import assert from 'node:assert/strict';
import { Engine } from '../../src/engine.ts';
import type { GenerateEvent } from '../../src/events.ts';
import type { GenerateRequest } from '../../src/request.ts';

const ask = (content: string): GenerateRequest => ({
  messages: [{ role: 'user', content }],
  currentDate: '2026-11-23',
});

async function events(engine: Engine, request: GenerateRequest): Promise<GenerateEvent[]> {
  const all: GenerateEvent[] = [];
  for await (const event of engine.generate(request)) all.push(event);
  return all;
}

describe('Engine with the embedded checkpoint', () => {
  let engine: Engine;
  before(async () => {
    engine = await Engine.load();
  });
  after(() => engine.dispose());

  const golden: readonly (readonly [string, string])[] = [
    ['What is a lighthouse?', 'Lighthouse: a tower with a light that gives warning of shoals to passing ships.'],
    ['What is 17 + 25?', '42'],
    ['What is a flimsnort?', 'I do not know the word flimsnort.'],
  ];
  for (const [question, answer] of golden) {
    it(`answers ${question}`, async () => {
      const { final, finishReason } = await engine.complete(ask(question));
      assert.equal(final, answer);
      assert.equal(finishReason, 'stop');
    });
  }

  it('gives the same answers side by side', async () => {
    const answers = await Promise.all(
      golden.flatMap(([question]) => [ask(question), ask(question)]).map((request) => engine.complete(request)),
    );
    assert.deepEqual(
      answers.map(({ final }) => final),
      golden.flatMap(([, answer]) => [answer, answer]),
    );
  });

  it('starts with queued, ends with done, and puts no markup into text', async () => {
    const all = await events(engine, ask('What is 17 + 25?'));
    assert.equal(all[0]?.type, 'queued');
    assert.equal(all.at(-1)?.type, 'done');
    const text = all.map((event) => ('text' in event && event.type !== 'done' ? event.text : '')).join('');
    assert.ok(!text.includes('<|') && !text.includes('final'));
  });

  it('stops before a stop string that spans tokens', async () => {
    const { final, finishReason, stoppedBy } = await engine.complete({
      ...ask('What is a lighthouse?'),
      stop: 'light that gives',
    });
    assert.equal(final, 'Lighthouse: a tower with a ');
    assert.deepEqual([finishReason, stoppedBy], ['stop', 'light that gives']);
  });

  it('calls a tool', async () => {
    const parameters = {
      type: 'object',
      properties: { location: { type: 'string', description: 'The location to get the weather for' } },
      required: ['location'],
    };
    const tools = [{ name: 'get_weather', description: 'Get the weather for a given location', parameters }];
    const { toolCalls, finishReason, final } = await engine.complete({ ...ask("What's the weather in Paris?"), tools });
    assert.equal(finishReason, 'tool-calls');
    assert.equal(toolCalls[0]?.name, 'get_weather');
    assert.deepEqual(JSON.parse(toolCalls[0]?.arguments ?? ''), { location: 'Paris' });
    assert.equal(final, '');
  });

  it('traces a row for each prompt and generated token in every layer', async () => {
    const all = await events(engine, { ...ask('What is 17 + 25?'), traceRouting: true });
    const done = all.at(-1);
    assert.ok(done?.type === 'done');
    let position = 0;
    for (const event of all) {
      if (event.type !== 'routing') continue;
      assert.equal(event.position, position);
      assert.deepEqual(
        event.layers.map(({ layer }) => layer),
        [0, 1, 2, 3, 4, 5],
      );
      for (const { ids } of event.layers) assert.equal(ids.length, event.tokens * 4);
      position += event.tokens;
    }
    assert.equal(position, done.usage.promptTokens + done.usage.completionTokens);
  });

  it('reports logprobs whose best is the greedy token', async () => {
    const { logprobs } = await engine.complete({ ...ask('What is 17 + 25?'), logprobs: 3 });
    assert.ok(logprobs !== undefined && logprobs.length > 0);
    for (const { id, logprob, top } of logprobs) {
      assert.deepEqual([top[0]?.id, top[0]?.logprob, top.length], [id, logprob, 3]);
    }
  });

  it('gives the same sample for the same seed, alone and in company', async () => {
    const request: GenerateRequest = { ...ask('Who are you?'), temperature: 1, seed: 7, maxTokens: 24 };
    const alone = await engine.complete(request);
    const [together] = await Promise.all([engine.complete(request), engine.complete(ask('What is 17 + 25?'))]);
    assert.deepEqual(together?.ids, alone.ids);
  });

  it('refuses what cannot be', () => {
    assert.throws(() => engine.generate({ messages: [] }), { code: 'EMPTY_PROMPT' });
    assert.throws(() => engine.generate({ prompt: '' }), { code: 'EMPTY_PROMPT' });
    assert.throws(() => engine.generate({ promptIds: [4096] }), { code: 'INVALID_REQUEST', field: 'promptIds[0]' });
    assert.throws(() => engine.generate({ promptIds: new Int32Array(131_072) }), { code: 'CONTEXT_LENGTH_EXCEEDED' });
    assert.throws(() => engine.generate({ ...ask('a'), maxTokens: 0 }), {
      code: 'INVALID_REQUEST',
      field: 'maxTokens',
    });
    assert.throws(() => engine.generate({ ...ask('a'), stop: [''] }), { code: 'INVALID_REQUEST', field: 'stop[0]' });
    assert.throws(() => engine.generate({ ...ask('a'), logprobs: 21 }), { code: 'INVALID_REQUEST', field: 'logprobs' });
  });

  it('ends with AbortError when its signal fires', async () => {
    const abort = new AbortController();
    await assert.rejects(
      async () => {
        for await (const event of engine.generate({ ...ask('What is a lighthouse?'), signal: abort.signal })) {
          if (event.type === 'analysis') abort.abort();
        }
      },
      { name: 'AbortError', code: 'ABORTED' },
    );
  });
});

describe('Engine with a scripted runner', () => {
  const runnerModule = new URL('../fixtures/scripted-runner.ts', import.meta.url);

  it('gives every open request the crash of its worker', async () => {
    const engine = await Engine.load(undefined, { runnerModule, runnerOptions: { exitAtStep: 2 } });
    const results = await Promise.allSettled([engine.complete(ask('a')), engine.complete(ask('b'))]);
    for (const result of results) {
      assert.ok(result.status === 'rejected');
      assert.equal((result.reason as { code: string }).code, 'WORKER_CRASHED');
    }
    assert.equal((await engine.closed)?.code, 'WORKER_CRASHED');
    assert.throws(() => engine.generate(ask('c')), { code: 'WORKER_CRASHED' });
  });

  it('ends open requests on dispose, and says so afterwards', async () => {
    const engine = await Engine.load(undefined, { runnerModule });
    const open = engine.complete({ ...ask('a'), ignoreEndTokens: true });
    const rejected = assert.rejects(open, { code: 'DISPOSED' });
    await engine.dispose();
    await rejected;
    assert.throws(() => engine.generate(ask('a')), { code: 'DISPOSED' });
    assert.equal(await engine.closed, null);
  });
});
