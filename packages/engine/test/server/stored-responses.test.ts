import assert from 'node:assert/strict';
import OpenAI from 'openai';
import type { RunningServer } from '../../src/server/start-server.ts';
import { clientOf, echoed, errorOf, post, scripted, startScriptedServer } from './test-server.ts';

const MODEL = 'scripted';
const ANSWER = scripted(
  '<|channel|>analysis<|message|>thought<|end|><|start|>assistant<|channel|>final<|message|>an answer',
);

describe('responses that are kept', () => {
  let server: RunningServer;
  let client: OpenAI;
  before(async () => {
    server = await startScriptedServer({ storedResponses: 8 });
    await server.ready;
    client = clientOf(server);
  });
  after(() => server.close());

  const ask = (body: Partial<OpenAI.Responses.ResponseCreateParamsNonStreaming>): Promise<OpenAI.Responses.Response> =>
    client.responses.create({ model: MODEL, ...body });

  it('are retrieved as they were answered, streamed or not', async () => {
    const whole = await ask({ input: ANSWER });
    assert.equal((whole as { store?: boolean }).store, true);
    assert.deepEqual(
      { ...(await client.responses.retrieve(whole.id)), _request_id: null },
      { ...whole, _request_id: null },
    );
    const streamed = await client.responses.stream({ model: MODEL, input: ANSWER }).finalResponse();
    const kept = await client.responses.retrieve(streamed.id);
    assert.deepEqual(
      kept.output.map(({ id, type }) => [id, type]),
      streamed.output.map(({ id, type }) => [id, type]),
    );
    assert.equal(kept.output_text, streamed.output_text);
  });

  it('are gone on with: the whole conversation is in the prompt, instructions are not', async () => {
    const first = await ask({ input: ANSWER, instructions: 'Be brief.' });
    const second = await ask({ input: 'and then', previous_response_id: first.id });
    const third = await ask({ input: 'ECHO PROMPT', previous_response_id: second.id });
    assert.equal(third.previous_response_id, second.id);
    const prompt = echoed(third.output_text);
    const places = ['<|start|>user', 'an answer', 'and then', 'ECHO PROMPT'].map((text) => prompt.indexOf(text));
    assert.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
    );
    assert.ok(!places.includes(-1) && !prompt.includes('Be brief.'), prompt);
  });

  it('lend their items by reference, wherever those stand in the input', async () => {
    const first = await ask({ input: ANSWER });
    const references = first.output.map(({ id }) => ({ type: 'item_reference' as const, id: id ?? '' }));
    const second = await ask({
      input: [{ role: 'user', content: 'before' }, ...references, { role: 'user', content: 'ECHO PROMPT' }],
    });
    assert.match(echoed(second.output_text), /before.*an answer.*ECHO PROMPT/s);
    const untyped = references.map(({ id }) => ({ id, type: null }));
    const third = await ask({ input: [...untyped, { role: 'user', content: 'ECHO PROMPT' }] });
    assert.match(echoed(third.output_text), /an answer.*ECHO PROMPT/s);
  });

  it('have input items with ids, which are listed in pages', async () => {
    const input = ['one', 'two', 'three'].map((content) => ({ role: 'user' as const, content }));
    const { id } = await ask({ input: [...input, { role: 'user', content: ANSWER }] });
    const texts = (items: readonly object[]): string[] =>
      items.map((item) => (item as { content: { text: string }[] }).content.map(({ text }) => text).join(''));
    const newest = await client.responses.inputItems.list(id);
    assert.deepEqual(texts(newest.data), [ANSWER, 'three', 'two', 'one']);
    const page = await client.responses.inputItems.list(id, { order: 'asc', limit: 2 });
    assert.deepEqual([texts(page.data), page.has_more], [['one', 'two'], true]);
    const all: object[] = [];
    for await (const item of client.responses.inputItems.list(id, { order: 'asc', limit: 1 })) all.push(item);
    assert.deepEqual(texts(all), ['one', 'two', 'three', ANSWER]);
  });

  it('are gone once deleted, and where store is false were never there', async () => {
    const { id, output } = await ask({ input: ANSWER });
    await client.responses.delete(id);
    const unstored = await ask({ input: ANSWER, store: false });
    assert.equal((unstored as { store?: boolean }).store, false);
    for (const [gone, item] of [
      [id, output[0]?.id],
      [unstored.id, unstored.output[0]?.id],
      ['resp_never', 'rs_never'],
    ] as const) {
      for (const use of [
        client.responses.retrieve(gone),
        client.responses.delete(gone),
        client.responses.cancel(gone),
      ]) {
        await assert.rejects(
          use,
          (error) => error instanceof OpenAI.NotFoundError && error.type === 'invalid_request_error',
        );
      }
      await assert.rejects(
        ask({ input: 'x', previous_response_id: gone }),
        (error) => error instanceof OpenAI.BadRequestError && error.code === 'previous_response_not_found',
      );
      await assert.rejects(
        ask({ input: [{ type: 'item_reference', id: item ?? '' }] }),
        (error) => error instanceof OpenAI.NotFoundError && error.param === 'input[0].id',
      );
    }
  });

  it('make room for newer ones', async () => {
    const { id } = await ask({ input: ANSWER });
    for (let more = 0; more < 8; more += 1) await ask({ input: ANSWER });
    await assert.rejects(client.responses.retrieve(id), OpenAI.NotFoundError);
  });

  it('may be made in the background, and are polled, cancelled and deleted there', async () => {
    const done = await ask({ input: ANSWER, background: true });
    assert.equal(done.status, 'in_progress');
    let polled = done;
    for (let attempt = 0; polled.status === 'in_progress' && attempt < 500; attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      polled = await client.responses.retrieve(done.id);
    }
    assert.deepEqual([polled.status, polled.output_text], ['completed', 'an answer']);

    const slow = await ask({ input: 'SLOW IDS 100 REPEAT 100000', background: true });
    assert.equal((await client.responses.cancel(slow.id)).status, 'cancelled');
    assert.equal((await client.responses.cancel(slow.id)).status, 'cancelled');
    const dropped = await ask({ input: 'SLOW IDS 100 REPEAT 100000', background: true });
    await client.responses.delete(dropped.id);
    await assert.rejects(client.responses.retrieve(dropped.id), OpenAI.NotFoundError);
    const failed = await ask({ input: 'FAIL', background: true });
    for (let attempt = 0; attempt < 500; attempt += 1) {
      polled = await client.responses.retrieve(failed.id);
      if (polled.status !== 'in_progress') break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.deepEqual([polled.status, polled.error?.code], ['failed', 'forward_failed']);

    const { id } = await ask({ input: ANSWER });
    const error = await errorOf(await post(server, `/v1/responses/${id}/cancel`, {}));
    assert.match(error.message, /Cannot cancel a synchronous response/);
  });

  it('are not listed by pages that do not exist', async () => {
    const { id } = await ask({ input: ANSWER });
    for (const [query, param] of [
      ['limit=0', 'limit'],
      ['limit=101', 'limit'],
      ['order=up', 'order'],
      ['after=nothing', 'after'],
    ]) {
      const response = await fetch(`${server.url}/v1/responses/${id}/input_items?${query}`);
      assert.deepEqual([response.status, (await errorOf(response)).param], [400, param]);
    }
  });
});
