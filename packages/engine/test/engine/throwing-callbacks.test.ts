import assert from 'node:assert/strict';
import { Engine } from '../../src/engine.ts';
import { DeliveryError, InvalidRequestError } from '../../src/errors.ts';
import type { GenerateEvent } from '../../src/events.ts';
import type { Logger } from '../../src/logger.ts';
import type { GenerateRequest } from '../../src/request.ts';

const runnerModule = new URL('../server/prompted-runner.ts', import.meta.url);
/** The model says these ids. */
const saying = (ids: readonly number[]): GenerateRequest => ({ prompt: `IDS ${ids.join(',')}`, output: 'text' });

const fails = (): never => {
  throw new Error('not mine');
};
const failsLater = (): Promise<never> => Promise.reject(new Error('not mine'));

/** Waits until the engine computes nothing any more. */
async function idle(engine: Engine): Promise<void> {
  for (let attempt = 0; (await engine.stats()).running > 0; attempt += 1) {
    assert.ok(attempt < 1000, 'a request goes on');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('what throws while answers are delivered', () => {
  const logged: string[] = [];
  let engine: Engine;
  before(async () => {
    const say = (message: string): void => void logged.push(message);
    engine = await Engine.load(undefined, {
      runnerModule,
      maxCachedPrefixes: 0,
      logger: { debug: say, info: say, warn: say, error: say },
    });
  });
  after(() => engine.dispose());
  beforeEach(() => logged.splice(0));

  it('in the reader of a token ends that request, after the text before it, and no other', async () => {
    const { tokenizer } = engine;
    const tokenBytes = tokenizer.tokenBytes.bind(tokenizer);
    tokenizer.tokenBytes = (id) => (id === 202 ? fails() : tokenBytes(id));
    const good = Array.from({ length: 10 }, () => engine.complete(saying([100, 101, 102])));
    let text = '';
    await assert.rejects(
      async () => {
        for await (const event of engine.generate(saying([200, 201, 202, 203]))) {
          if (event.type === 'content') text += event.text;
        }
      },
      (error) => {
        assert.ok(error instanceof DeliveryError);
        assert.equal(error.code, 'DELIVERY_FAILED');
        assert.match(error.message, /found not mine/);
        assert.ok(error.cause instanceof Error);
        return true;
      },
    );
    tokenizer.tokenBytes = tokenBytes;
    assert.equal(text, tokenizer.decode([200, 201]));
    for (const { final } of await Promise.all(good)) assert.equal(final, tokenizer.decode([100, 101, 102]));
    assert.deepEqual(logged, ['an answer could not be delivered']);
    await idle(engine);
  });

  it('where the whole text is put together ends that request, and no other', async () => {
    const { tokenizer } = engine;
    const decode = tokenizer.decode.bind(tokenizer);
    tokenizer.decode = (ids) => (Array.from(ids).includes(202) ? fails() : decode(ids));
    const good = engine.complete(saying([100, 101]));
    await assert.rejects(engine.complete(saying([201, 202])), DeliveryError);
    tokenizer.decode = decode;
    assert.equal((await good).final, tokenizer.decode([100, 101]));
    await idle(engine);
  });

  it('in the log-probabilities ends that request, and no other', async () => {
    const { tokenizer } = engine;
    const tokenBytes = tokenizer.tokenBytes.bind(tokenizer);
    tokenizer.tokenBytes = (id) => (id === 202 ? fails() : tokenBytes(id));
    await assert.rejects(engine.complete({ ...saying([201, 202]), logprobs: 0 }), DeliveryError);
    tokenizer.tokenBytes = tokenBytes;
    assert.equal((await engine.complete({ ...saying([201, 202]), logprobs: 0 })).logprobs?.length, 2);
  });

  it('in the loop that reads the events ends that request, and no other', async () => {
    const good = engine.complete(saying([100, 101]));
    const long = saying(Array.from({ length: 2000 }, () => 100));
    await assert.rejects(async () => {
      for await (const event of engine.generate(long)) if (event.type === 'content') fails();
    }, /^Error: not mine/);
    const events: GenerateEvent['type'][] = [];
    for await (const { type } of engine.generate(saying([100]))) events.push(type);
    assert.deepEqual(events, ['queued', 'content', 'done']);
    assert.equal((await good).finishReason, 'stop');
    await idle(engine);
  });

  it('in onRouting is logged once, and every request goes on', async () => {
    await using real = await Engine.load(undefined, {
      router: 'cpu',
      kvCacheBytes: 64 * 2 ** 20,
      logger: { debug: fails, info: failsLater, warn: fails, error: (message) => void logged.push(message) },
    });
    for (const listener of [fails, failsLater]) {
      let calls = 0;
      logged.splice(0);
      real.onRouting = () => {
        calls += 1;
        return listener();
      };
      assert.equal((await real.complete({ prompt: 'The noun', maxTokens: 3 })).usage.completionTokens, 3);
      assert.ok(calls > 6);
      assert.deepEqual(logged, ['onRouting threw']);
    }
  });

  it('in loggers and in onProgress stops no load and no answer', async () => {
    for (const thrower of [fails, failsLater]) {
      const logger: Logger = { debug: thrower, info: thrower, warn: thrower, error: thrower };
      await using loaded = await Engine.load(undefined, { runnerModule, logger, onProgress: thrower });
      assert.equal((await loaded.complete(saying([100]))).usage.completionTokens, 2);
    }
    await using unfinished = await Engine.load(undefined, { runnerModule, logger: {} as unknown as Logger });
    assert.equal((await unfinished.complete(saying([100]))).usage.completionTokens, 2);
  });

  it('before an answer is begun is thrown where the request is made', async () => {
    assert.throws(() => engine.generate({ promptIds: [4096] }), InvalidRequestError);
    const { tokenizer } = engine;
    const encode = tokenizer.encode.bind(tokenizer);
    tokenizer.encode = fails;
    assert.throws(() => engine.generate({ prompt: 'a' }), /not mine/);
    tokenizer.encode = encode;
    assert.equal((await engine.complete(saying([100]))).usage.completionTokens, 2);
  });
});
