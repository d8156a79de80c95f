import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { EventLog, type LoggedEvent } from '../../src/server/event-log.ts';
import { OpenAiError } from '../../src/server/errors/openai-error.ts';

const NEVER = new AbortController().signal;

async function read(log: EventLog, after: number): Promise<LoggedEvent[]> {
  const events: LoggedEvent[] = [];
  for await (const event of log.after(after, NEVER)) events.push(event);
  return events;
}

describe('EventLog', () => {
  it('keeps the newest events within its bound, and gives them from any number that is kept', async () => {
    const lengths = fc.array(fc.nat(60), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(lengths, fc.integer({ min: 1, max: 200 }), async (sizes, most) => {
        const log = new EventLog(most);
        const sent = sizes.map((size) => 'x'.repeat(size));
        for (const text of sent) await log.send(text, 'type');
        log.end();
        const jsons = sent.map((text) => JSON.stringify(text));
        const sizeFrom = (first: number): number => jsons.slice(first).reduce((sum, { length }) => sum + length, 0);
        const first = jsons.findIndex((_, at) => sizeFrom(at) <= most || at === jsons.length - 1);
        assert.deepEqual([log.first, log.characters], [first, sizeFrom(first)]);
        for (let after = -1; after <= jsons.length; after += 1) {
          if (after + 1 < first) {
            assert.throws(() => log.check(after), OpenAiError);
            await assert.rejects(read(log, after), OpenAiError);
            continue;
          }
          log.check(after);
          const events = await read(log, after);
          assert.deepEqual(
            events.map(({ json }) => json),
            jsons.slice(after + 1),
          );
          assert.deepEqual(
            events.map(({ sequence }) => sequence),
            events.map((_, at) => after + 1 + at),
          );
        }
      }),
    );
  });

  it('gives events as they come to whoever waits, until it ends or they go away', async () => {
    const log = new EventLog(1000);
    const leaving = new AbortController();
    const staying = read(log, -1);
    const left = (async () => {
      let count = 0;
      for await (const _ of log.after(-1, leaving.signal)) count += 1;
      return count;
    })();
    await log.send(1, 'a');
    await new Promise(setImmediate);
    leaving.abort();
    assert.equal(await left, 1);
    await log.send(2, 'b');
    log.end();
    assert.deepEqual(
      (await staying).map(({ json, type }) => [json, type]),
      [
        ['1', 'a'],
        ['2', 'b'],
      ],
    );
  });

  it('tells a reader who is too slow that its next event is gone', async () => {
    const log = new EventLog(3);
    await log.send(10, 'a');
    const reader = log.after(-1, NEVER);
    await reader.next();
    for (const event of [20, 30, 40]) await log.send(event, 'a');
    await assert.rejects(reader.next(), (error) => error instanceof OpenAiError && error.code === 'events_gone');
  });
});
