import assert from 'node:assert/strict';
import fc from 'fast-check';
import OpenAI from 'openai';
import type { RunningServer } from '../../src/server/start-server.ts';
import {
  clientOf,
  echoed,
  type ErrorBody,
  errorOf,
  metric,
  post,
  scripted,
  startScriptedServer,
  untilMetric,
} from './test-server.ts';

const MODEL = 'scripted';
const WORDS = 'the quick brown fox jumps over the lazy dog again and again until the day is over';
const ANSWER = scripted(
  `<|channel|>analysis<|message|>some thought<|end|><|start|>assistant<|channel|>final<|message|>${WORDS}`,
);
/** Goes on for minutes. */
const ENDLESS = `SLOW ${scripted('<|channel|>final<|message|>a')} REPEAT 100000`;
const RUNNING = 'vllm:num_requests_running';

type Event = OpenAI.Responses.ResponseStreamEvent;

async function read(stream: AsyncIterable<Event>): Promise<Event[]> {
  const events: Event[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

function idOf([first]: readonly Event[]): string {
  assert.ok(first?.type === 'response.created');
  return first.response.id;
}

const textOf = (events: readonly Event[]): string =>
  events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('');

describe('a response that is made in the background and streamed', () => {
  let server: RunningServer;
  let client: OpenAI;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
    client = clientOf(server);
  });
  after(() => server.close());

  const start = (input: string, more: object = {}) =>
    client.responses.create({ model: MODEL, input, background: true, stream: true, ...more });
  const resume = (id: string, after?: number) =>
    client.responses.retrieve(id, { stream: true, ...(after === undefined ? {} : { starting_after: after }) });
  /** Starts one and goes away after some events. */
  const leave = async (input: string, count: number): Promise<Event[]> => {
    const stream = await start(input);
    const events: Event[] = [];
    for await (const event of stream) {
      events.push(event);
      if (events.length === count) break;
    }
    return events;
  };

  it('has the events of any other, numbered from 0, and its last state is kept', async () => {
    const events = await read(await start(ANSWER));
    assert.deepEqual(
      events.map(({ sequence_number: number }) => number),
      [...events.keys()],
    );
    const plain = await read(await client.responses.create({ model: MODEL, input: ANSWER, stream: true }));
    assert.deepEqual(
      events.map(({ type }) => type),
      plain.map(({ type }) => type),
    );
    assert.equal(textOf(events), WORDS);
    const kept = await client.responses.retrieve(idOf(events));
    assert.deepEqual([kept.status, kept.background, kept.output_text], ['completed', true, WORDS]);
  });

  it('can be read again from any event, while it is made and afterwards', async () => {
    const whole = await read(await start(ANSWER));
    const id = idOf(whole);
    assert.deepEqual(await read(await resume(id)), whole);
    for (const after of whole.keys()) {
      assert.deepEqual(await read(await resume(id, after)), whole.slice(after + 1), `after ${after}`);
    }
    assert.deepEqual(await read(await resume(id, 1e6)), []);
  });

  it('goes on when its reader goes away, and several may read on at once', async () => {
    const seen = await leave(`SLOW ${ANSWER}`, 4);
    const id = idOf(seen);
    const rests = await Promise.all(
      [resume(id, 3), resume(id, 3), resume(id)].map(async (stream) => read(await stream)),
    );
    const [rest = [], same, whole = []] = rests;
    assert.deepEqual(same, rest);
    assert.deepEqual(whole, [...seen, ...rest]);
    assert.equal(textOf(whole), WORDS);
    assert.equal(whole.at(-1)?.type, 'response.completed');
  });

  it('is read from its first event, however large the request is that the events repeat', async () => {
    const events = await read(await start(ANSWER, { metadata: { large: 'x'.repeat(2 ** 21) } }));
    assert.equal(textOf(events), WORDS);
    assert.deepEqual(await read(await resume(idOf(events))), events);
  });

  it("is resumed by the client's own helper", async () => {
    const seen = await leave(`SLOW ${ANSWER}`, 6);
    const stream = client.responses.stream({ response_id: idOf(seen), starting_after: 5 });
    assert.equal((await stream.finalResponse()).output_text, WORDS);
  });

  it('ends with response.cancelled for its readers when it is cancelled, with nothing more when it is deleted', async () => {
    for (const [end, types] of [
      ['cancel', ['response.cancelled']],
      ['delete', []],
    ] as const) {
      const seen = await leave(ENDLESS, 4);
      const id = idOf(seen);
      const rest = read(await resume(id, 3));
      assert.equal(await metric(server, RUNNING), 1);
      await client.responses[end](id);
      const ends = (await rest).map(({ type }) => type as string).filter((type) => /^response\.[a-z]+$/.test(type));
      assert.deepEqual(ends, types);
      await untilMetric(server, RUNNING, 0);
      if (end === 'delete') await assert.rejects(async () => resume(id), OpenAI.NotFoundError);
      else {
        // What was being written is there, and says that it was cut.
        const { status, output } = await client.responses.retrieve(id);
        const items = output.map((item) => ('status' in item ? item.status : 'none'));
        assert.deepEqual([status, items], ['cancelled', ['incomplete']]);
      }
    }
  });

  it('has no gap in its numbers and leaves nothing behind, whatever its clients do at once', async () => {
    const visit = fc.record({
      leavesAfter: fc.integer({ min: 1, max: 12 }),
      deed: fc.constantFrom('resume', 'resume', 'cancel', 'delete', 'nothing'),
      words: fc.integer({ min: 1, max: 40 }),
    });
    const live = async ({ leavesAfter, deed, words }: { leavesAfter: number; deed: string; words: number }) => {
      const answer = scripted(`<|channel|>final<|message|>${'word '.repeat(words)}`);
      const seen = await leave(`SLOW ${answer}`, leavesAfter);
      const id = idOf(seen);
      const following = deed === 'nothing' ? [] : read(await resume(id, seen.length - 1));
      if (deed === 'cancel') await client.responses.cancel(id);
      if (deed === 'delete') await client.responses.delete(id);
      const all = [...seen, ...(await following)];
      assert.deepEqual(
        all.map(({ sequence_number: number }) => number),
        [...all.keys()],
      );
      const last = all.at(-1)?.type as string | undefined;
      if (deed === 'resume') assert.equal(last, 'response.completed');
      if (deed === 'cancel') assert.match(last ?? '', /^response\.(?:cancelled|completed)$/);
      if (deed === 'delete') await assert.rejects(client.responses.retrieve(id), OpenAI.NotFoundError);
    };
    await fc.assert(
      fc.asyncProperty(fc.array(visit, { minLength: 1, maxLength: 8 }), async (visits) => {
        await Promise.all(visits.map(live));
      }),
      { numRuns: 12, endOnFailure: true },
    );
    await untilMetric(server, RUNNING, 0);
    await untilMetric(server, 'switchyard:blocked_streams', 0);
  });

  it('cannot be gone on with before it is over', async () => {
    const { id } = await client.responses.create({ model: MODEL, input: ENDLESS, background: true });
    const next = { model: MODEL, input: 'ECHO PROMPT', previous_response_id: id };
    await assert.rejects(
      client.responses.create(next),
      (error) => error instanceof OpenAI.BadRequestError && error.code === 'previous_response_in_progress',
    );
    await client.responses.cancel(id);
    assert.match(echoed((await client.responses.create(next)).output_text), /SLOW .*ECHO PROMPT/s);
  });

  it('tells its failure in the stream and keeps it', async () => {
    const events = await read(await start('FAIL'));
    assert.equal(events.at(-1)?.type, 'response.failed');
    assert.deepEqual(await read(await resume(idOf(events))), events);
    assert.equal((await client.responses.retrieve(idOf(events))).status, 'failed');
  });

  it('is what is streamed later: others have no events, and what is no number is refused', async () => {
    const plain = await client.responses.create({ model: MODEL, input: ANSWER });
    const polled = await client.responses.create({ model: MODEL, input: ANSWER, background: true });
    const streamed = idOf(await read(await start(ANSWER)));
    for (const [path, param] of [
      [`${plain.id}?stream=true`, 'stream'],
      [`${polled.id}?stream=true`, 'stream'],
      [`${streamed}?stream=yes`, 'stream'],
      [`${streamed}?stream=true&starting_after=-1`, 'starting_after'],
      [`${streamed}?stream=true&starting_after=two`, 'starting_after'],
      [`${streamed}?stream=true&starting_after=`, 'starting_after'],
    ]) {
      const response = await fetch(`${server.url}/v1/responses/${path}`);
      assert.deepEqual([response.status, (await errorOf(response)).param], [400, param], path);
    }
    assert.equal((await fetch(`${server.url}/v1/responses/${streamed}?stream=false`)).status, 200);
  });

  it('is found, read on and cancelled as long as it is made, though newer ones took its place', async () => {
    const small = await startScriptedServer({ storedResponses: 2 });
    try {
      await small.ready;
      const few = clientOf(small);
      const { id } = await few.responses.create({ model: MODEL, input: ENDLESS, background: true });
      for (let newer = 0; newer < 3; newer += 1) await few.responses.create({ model: MODEL, input: ANSWER });
      const polled = await few.responses.retrieve(id);
      assert.equal(polled.status, 'in_progress');
      assert.equal((await few.responses.inputItems.list(id)).data.length, 1);
      assert.equal((await few.responses.cancel(id)).status, 'cancelled');
      assert.equal((await few.responses.retrieve(id)).status, 'cancelled');
      const dropped = await few.responses.create({ model: MODEL, input: ENDLESS, background: true });
      for (let newer = 0; newer < 3; newer += 1) await few.responses.create({ model: MODEL, input: ANSWER });
      await few.responses.delete(dropped.id);
      await assert.rejects(few.responses.retrieve(dropped.id), OpenAI.NotFoundError);
      await untilMetric(small, RUNNING, 0);
    } finally {
      await small.close();
    }
  });

  it('is refused where nothing would be kept of it', async () => {
    const closed = await startScriptedServer({ storedResponses: 0 });
    try {
      await closed.ready;
      for (const [on, body] of [
        [closed, { background: true }],
        [closed, { background: true, stream: true }],
        [server, { background: true, store: false }],
      ] as const) {
        const response = await post(on, '/v1/responses', { input: 'x', ...body });
        const { error } = (await response.json()) as ErrorBody;
        assert.deepEqual([response.status, error.param], [400, 'background'], error.message);
      }
    } finally {
      await closed.close();
    }
  });
});
