import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { ResponseStore, type StoredResponse } from '../../src/server/response-store.ts';

const stored = (id: string, text = '', items: readonly string[] = []): StoredResponse => ({
  id,
  response: { id, text },
  input: [],
  output: items.map((item) => ({ id: item, type: 'message', owner: id })),
});

describe('ResponseStore', () => {
  it('never holds more than its bounds, keeps the newest, and forgets items with the last response that has them', () => {
    const put = fc.record({
      id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      length: fc.nat(300),
      items: fc.subarray(['i', 'j', 'k']),
      remove: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(put, { maxLength: 30 }), fc.integer({ min: 0, max: 4 }), (steps, responses) => {
        const store = new ResponseStore({ responses, characters: 600 });
        // What is kept by the rules, oldest first.
        let model: StoredResponse[] = [];
        for (const { id, length, items, remove } of steps) {
          const next = stored(id, 'x'.repeat(length), items);
          model = model.filter((other) => other.id !== id);
          if (remove) store.delete(id);
          else {
            store.put(next);
            if (JSON.stringify(next).length <= 600) model.push(next);
          }
          const size = (): number => model.reduce((sum, one) => sum + JSON.stringify(one).length, 0);
          while (model.length > responses || size() > 600) model.shift();
          assert.equal(store.size, model.length);
          for (const one of model) assert.deepEqual(store.get(one.id), one);
          const found = store.items(['i', 'j', 'k']);
          for (const item of ['i', 'j', 'k']) {
            const owners = model.filter(({ output }) => output.some((other) => other.id === item));
            if (owners.length > 0) assert.equal(found.get(item)?.id, item);
          }
          const lost = ['i', 'j', 'k'].filter(
            (item) => !model.some(({ output }) => output.some((other) => other.id === item)),
          );
          for (const item of lost) assert.equal(store.items([item]).has(item), false);
        }
      }),
    );
  });

  it('gives out copies: what is kept cannot be changed from outside', () => {
    const store = new ResponseStore({ responses: 2, characters: 1000 });
    store.put(stored('a', 'x', ['i']));
    (store.get('a') as unknown as { id: string }).id = 'b';
    assert.equal(store.get('a')?.id, 'a');
  });
});
