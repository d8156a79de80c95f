/** Requests whose arrays and signals are of another realm, as they are in the sandbox of a test runner. */

import assert from 'node:assert/strict';
import { runInNewContext } from 'node:vm';
import { Engine } from '../../src/engine.ts';
import { InvalidRequestError } from '../../src/errors.ts';
import type { ScoreInput } from '../../src/request.ts';

const runnerModule = new URL('../fixtures/scripted-runner.ts', import.meta.url);

const other = runInNewContext('({ Array, Int32Array, Uint32Array, Float64Array })') as {
  readonly Array: ArrayConstructor;
  readonly Int32Array: Int32ArrayConstructor;
  readonly Uint32Array: Uint32ArrayConstructor;
  readonly Float64Array: Float64ArrayConstructor;
};

/** A signal like jsdom's: no instance of this realm's AbortSignal, and it takes no signal of this realm either. */
const createSignal = runInNewContext(`() => {
  const listeners = new Set();
  const signal = {
    aborted: false,
    reason: undefined,
    addEventListener(type, listener, options = {}) {
      if (options.signal !== undefined) throw new TypeError('member signal is not of type AbortSignal');
      listeners.add(listener);
    },
    removeEventListener(type, listener) { listeners.delete(listener); },
  };
  const abort = () => {
    signal.aborted = true;
    signal.reason = new Error('enough');
    for (const listener of listeners) listener.call(signal, { type: 'abort' });
  };
  return { signal, abort, listeners };
}`) as () => { readonly signal: AbortSignal; readonly listeners: ReadonlySet<unknown>; abort(): void };

describe('a request of another realm', () => {
  let engine: Engine;
  before(async () => {
    engine = await Engine.load(undefined, { runnerModule, runnerOptions: { contextLength: 200 } });
  });
  after(() => engine.dispose());

  const ids = [11, 12, 13];
  const shared = new Int32Array(new SharedArrayBuffer(12));
  shared.set(ids);
  const arrays: Readonly<Record<string, ArrayLike<number>>> = {
    Array: other.Array.from(ids),
    Int32Array: other.Int32Array.from(ids),
    Uint32Array: other.Uint32Array.from(ids),
    Float64Array: other.Float64Array.from(ids),
    'Int32Array over shared memory': shared,
  };

  for (const [kind, array] of Object.entries(arrays)) {
    it(`may have its ids in this: ${kind}`, async () => {
      const request = { temperature: 0, maxTokens: 3, ignoreEndTokens: true } as const;
      const expected = await engine.complete({ ...request, promptIds: ids });
      assert.deepEqual((await engine.complete({ ...request, promptIds: array })).text, expected.text);
      assert.equal(engine.detokenize(array), engine.detokenize(ids));
      assert.deepEqual(await engine.score([{ ids: array }]), await engine.score([{ ids }]));
      const stopTokenIds = array as readonly number[];
      assert.ok(await engine.complete({ ...request, promptIds: array, stopTokenIds }));
    });
  }

  it('may have lists of another realm', async () => {
    const inputs = other.Array.of<ScoreInput>({ ids });
    assert.equal((await engine.score(inputs)).length, 1);
    const messages = other.Array.of({ role: 'user', content: 'a' } as const);
    assert.ok(await engine.complete({ messages, stop: other.Array.of('x'), maxTokens: 1 }));
  });

  it('is refused where the memory of its ids is gone', () => {
    const gone = Int32Array.from(ids);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    const isRefused = (field: string) => (error: unknown) =>
      error instanceof InvalidRequestError && error.field === field;
    assert.throws(() => engine.generate({ promptIds: gone }), isRefused('promptIds'));
    const stopTokenIds = gone as unknown as readonly number[];
    assert.throws(() => engine.generate({ promptIds: ids, stopTokenIds }), isRefused('stopTokenIds'));
    assert.throws(() => engine.detokenize({ length: -1 }), isRefused('ids'));
  });

  it('ends at its signal', async () => {
    const { signal, listeners, ...controller } = createSignal();
    const events = engine.generate({ promptIds: ids, ignoreEndTokens: true, signal });
    await events.next();
    controller.abort();
    await assert.rejects(
      async () => {
        for await (const event of events) assert.notEqual(event.type, 'done');
      },
      { code: 'ABORTED' },
    );
    assert.equal(listeners.size, 0);
  });

  it('ends loading at its signal, which no longer hears of it afterwards', async () => {
    const { signal, listeners } = createSignal();
    await (await Engine.load(undefined, { runnerModule, signal })).dispose();
    assert.equal(listeners.size, 0);
    const second = createSignal();
    const loading = Engine.load(undefined, { runnerModule, signal: second.signal });
    second.abort();
    await assert.rejects(loading, { code: 'ABORTED' });
    assert.equal(second.listeners.size, 0);
  });
});
