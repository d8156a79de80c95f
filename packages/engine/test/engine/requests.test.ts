import assert from 'node:assert/strict';
import { TooManyTokensError } from '@switchyard/models';
import { Engine } from '../../src/engine.ts';
import { type ContextLengthError, InvalidRequestError } from '../../src/errors.ts';
import type { GenerateEvent } from '../../src/events.ts';
import type { GenerateRequest, ScoreInput } from '../../src/request.ts';
import type { LayerRouting } from '../../src/runners/runner.ts';

const runnerModule = new URL('../fixtures/scripted-runner.ts', import.meta.url);

/** A request as JavaScript may send it. */
const request = (fields: object): GenerateRequest =>
  ({ messages: [{ role: 'user', content: 'a' }], ...fields }) as unknown as GenerateRequest;

const circular: Record<string, unknown> = { type: 'object' };
circular['properties'] = { circular };

describe('requests to the engine', () => {
  let engine: Engine;
  before(async () => {
    engine = await Engine.load(undefined, { runnerModule, runnerOptions: { contextLength: 200 } });
  });
  after(() => engine.dispose());

  it('with a wrong field are refused at once, by its name', () => {
    const message = (fields: object): object => ({ messages: [fields] });
    const call = { id: '1', name: 'f', arguments: '{}' };
    const cases: readonly [field: string, fields: object][] = [
      ['messages', { messages: null }],
      ['messages', { messages: 'a' }],
      ['messages[0]', { messages: [null] }],
      ['messages[0].role', message({ role: 'robot', content: 'a' })],
      ['messages[0].role', message({ content: 'a' })],
      ['messages[0].content', message({ role: 'user' })],
      ['messages[0].content', message({ role: 'user', content: 5 })],
      ['messages[0].content', message({ role: 'assistant', content: null })],
      ['messages[0].analysis', message({ role: 'assistant', analysis: 5 })],
      ['messages[0].toolCalls', message({ role: 'assistant', toolCalls: 'f' })],
      ['messages[0].toolCalls[1]', message({ role: 'assistant', toolCalls: [call, null] })],
      ['messages[0].toolCalls[0].arguments', message({ role: 'assistant', toolCalls: [{ ...call, arguments: {} }] })],
      ['messages[0].toolCallId', message({ role: 'tool', name: 'f', toolCallId: 7, content: 'a' })],
      ['tools', { tools: 'f' }],
      ['tools[0]', { tools: [null] }],
      ['tools[0].name', { tools: [{}] }],
      ['tools[0].description', { tools: [{ name: 'f', description: 1 }] }],
      ['tools[0].parameters', { tools: [{ name: 'f', parameters: 'none' }] }],
      ['tools[0].parameters', { tools: [{ name: 'f', parameters: circular }] }],
      ['toolChoice', { toolChoice: 'sometimes' }],
      ['toolChoice', { toolChoice: null }],
      ['toolChoice', { toolChoice: { name: 'g' }, tools: [{ name: 'f' }] }],
      ['responseFormat', { responseFormat: null }],
      ['responseFormat.type', { responseFormat: { type: 'xml' } }],
      ['responseFormat.schema', { responseFormat: { type: 'json-schema' } }],
      ['responseFormat.name', { responseFormat: { type: 'json-schema', schema: {}, name: 1 } }],
      ['reasoningEffort', { reasoningEffort: 'huge' }],
      ['currentDate', { currentDate: 'today' }],
      ['currentDate', { currentDate: 20261123 }],
      ['modelIdentity', { modelIdentity: 5 }],
      ['output', { output: 'xml' }],
      ['signal', { signal: {} }],
      ['stop', { stop: 5 }],
      ['stopTokenIds[1]', { stopTokenIds: [1, 4096] }],
      ['temperature', { temperature: '1' }],
      ['temperature', { temperature: Number.NaN }],
      ['topP', { topP: 0 }],
      ['seed', { seed: -1 }],
      ['logitBias', { logitBias: { word: 1 } }],
      ['maxTokens', { maxTokens: Number.POSITIVE_INFINITY }],
      ['logprobs', { logprobs: null }],
    ];
    for (const [field, fields] of cases) {
      assert.throws(
        () => engine.generate(request(fields)),
        (error) => error instanceof InvalidRequestError && error.field === field && error.message.startsWith(field),
        `${field}: ${Object.keys(fields).join()}`,
      );
    }
    for (const nothing of [undefined, null, 'a']) {
      assert.throws(() => engine.generate(nothing as unknown as GenerateRequest), { field: 'request' });
    }
    assert.throws(() => engine.generate({ prompt: 'a', promptIds: [1] } as unknown as GenerateRequest), {
      field: 'messages',
    });
  });

  it('that want scores as well', async () => {
    for (const [field, inputs] of [
      ['inputs', null],
      ['inputs[0]', [null]],
      ['inputs[1]', [{ text: 'a' }, { text: 5 }]],
      ['inputs[0].ids[1]', [{ ids: [1, 4096] }]],
    ] as const) {
      await assert.rejects(engine.score(inputs as unknown as ScoreInput[]), { code: 'INVALID_REQUEST', field });
    }
    await assert.rejects(engine.score([{ text: '' }]), { code: 'EMPTY_PROMPT' });
    await assert.rejects(engine.score([{ text: 'a' }], { signal: AbortSignal.abort() }), {
      code: 'ABORTED',
    });
  });

  it('over the context are refused, with the number of tokens where it is known', async () => {
    const isTooLong = (promptTokens: number) => (error: unknown) => {
      const { code, message, limit, ...rest } = error as ContextLengthError;
      assert.deepEqual([code, limit, rest.promptTokens], ['CONTEXT_LENGTH_EXCEEDED', 200, promptTokens]);
      assert.match(message, promptTokens === 200 ? /found 200 or more tokens/ : /found 250 tokens/);
      return true;
    };
    assert.throws(() => engine.generate({ promptIds: new Int32Array(250) }), isTooLong(250));
    for (const content of ['word '.repeat(800_000), 'a'.repeat(4_000_000), '<|end|>'.repeat(500_000)]) {
      assert.throws(() => engine.generate({ prompt: content }), isTooLong(200));
      assert.throws(() => engine.generate({ prompt: content, promptHasSpecialTokens: true }), isTooLong(200));
      assert.throws(() => engine.generate({ messages: [{ role: 'user', content }] }), isTooLong(200));
      await assert.rejects(engine.score([{ text: content }]), isTooLong(200));
      assert.throws(() => engine.tokenize({ prompt: content }, { maxTokens: 1000 }), TooManyTokensError);
    }
    // One token is left for the answer.
    const longest = engine.generate({ promptIds: new Int32Array(199), ignoreEndTokens: true });
    for await (const event of longest) if (event.type === 'done') assert.equal(event.usage.completionTokens, 1);
    assert.throws(() => engine.generate({ promptIds: new Int32Array(200) }), { code: 'CONTEXT_LENGTH_EXCEEDED' });
    assert.equal((await engine.score([{ ids: new Int32Array(200) }]))[0]?.tokens, 200);
  });

  it('may be asked for the next event several times at once, and given up meanwhile', async () => {
    const events = engine.generate({ prompt: 'a', ignoreEndTokens: true, maxTokens: 2 });
    const asked = Array.from({ length: 20 }, () => events.next());
    const given = (await Promise.all(asked)).map(({ value }) => (value as GenerateEvent | undefined)?.type);
    const last = given.indexOf('done');
    assert.equal(given[0], 'queued');
    assert.ok(last > 0);
    assert.ok(given.slice(last + 1).every((type) => type === undefined));

    const open = engine.generate({ prompt: 'a', ignoreEndTokens: true });
    await open.next();
    const waiting = Array.from({ length: 10_000 }, () => open.next());
    await open.return?.();
    const left = await Promise.all(waiting);
    assert.deepEqual(left.at(-1), { done: true, value: undefined });
    // Another request's steps put it away.
    await engine.complete({ prompt: 'a', maxTokens: 3, ignoreEndTokens: true });
    assert.equal((await engine.stats()).running, 0);
  });

  it('that fail tell one of those who wait, and the others that there is no more', async () => {
    const abort = new AbortController();
    const events = engine.generate({ prompt: 'a', ignoreEndTokens: true, signal: abort.signal });
    const waiting = Array.from({ length: 10_000 }, () => events.next());
    abort.abort();
    const outcomes = await Promise.allSettled(waiting);
    const failed = outcomes.filter(({ status }) => status === 'rejected');
    assert.equal(failed.length, 1);
    assert.deepEqual(await events.next(), { done: true, value: undefined });
  });
});

describe('Engine.load', () => {
  it('tells its progress, logs what it loaded, and gives every routing to onRouting', async () => {
    const progress: [string, number][] = [];
    const logged: string[] = [];
    const say = (message: string): void => void logged.push(message);
    await using engine = await Engine.load(undefined, {
      router: 'cpu',
      onProgress: ({ phase, fraction }) => progress.push([phase, fraction]),
      logger: { debug: say, info: say, warn: say, error: say },
    });
    assert.deepEqual(progress[0], ['checkpoint', 0]);
    assert.deepEqual(progress.at(-1), ['ready', 1]);
    const fractions = progress.map(([, fraction]) => fraction);
    assert.deepEqual(
      fractions,
      fractions.toSorted((a, b) => a - b),
    );
    assert.ok(progress.filter(([phase]) => phase === 'model').length > 2);
    assert.deepEqual(
      logged.filter((message) => message === 'model loaded'),
      ['model loaded'],
    );

    const rows = new Map<number, number>();
    const count = ({ layer, ids, weights }: LayerRouting): void => {
      assert.equal(ids.length, weights.length);
      rows.set(layer, (rows.get(layer) ?? 0) + ids.length / 4);
    };
    engine.onRouting = count;
    assert.equal(engine.onRouting, count);
    const { usage } = await engine.complete({ prompt: 'The noun', maxTokens: 5, ignoreEndTokens: true });
    // The last token is not computed further.
    const computed = usage.promptTokens + usage.completionTokens - 1;
    assert.deepEqual(
      [...rows],
      [0, 1, 2, 3, 4, 5].map((layer) => [layer, computed]),
    );
    engine.onRouting = null;
    await engine.complete({ prompt: 'The noun', maxTokens: 5 });
    assert.deepEqual(rows.get(0), computed);
  });

  it('ends at its signal, before and while it loads', async () => {
    await assert.rejects(Engine.load(undefined, { runnerModule, signal: AbortSignal.abort() }), { code: 'ABORTED' });
    // ONNX Runtime would end the process, were its thread cut off anywhere in the load.
    for (const share of [0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95]) {
      const abort = new AbortController();
      await assert.rejects(
        Engine.load(undefined, {
          router: 'cpu',
          signal: abort.signal,
          onProgress: ({ fraction }) => {
            if (fraction >= share) abort.abort();
          },
        }),
        { name: 'AbortError', code: 'ABORTED' },
      );
    }
    // Between the steps that are told.
    for (let milliseconds = 20; milliseconds < 400; milliseconds += 40) {
      const loading = Engine.load(undefined, { router: 'cpu', signal: AbortSignal.timeout(milliseconds) });
      await loading.then(
        (engine) => engine.dispose(),
        (error: { code?: string }) => assert.equal(error.code, 'ABORTED'),
      );
    }
  });

  it('refuses what cannot be, by name', async () => {
    for (const [field, value] of Object.entries({
      expertPrecision: 'fp64',
      threads: 0,
      router: 'gpu',
      maxSequences: 1025,
      maxQueue: -1,
      prefillChunk: 1.5,
      kvCacheBytes: 1,
      maxCachedPrefixes: Number.NaN,
      maxSequence: 4,
    })) {
      await assert.rejects(Engine.load(undefined, { [field]: value }), { code: 'INVALID_REQUEST', field });
    }
    await assert.rejects(Engine.load(5 as unknown as string), { code: 'INVALID_REQUEST', field: 'model' });
    await assert.rejects(Engine.load(undefined, { runnerModule: 'file:///nowhere/runner.mjs' }), {
      name: 'LoadError',
      code: 'ERR_MODULE_NOT_FOUND',
    });
    await assert.rejects(Engine.load('/nowhere'), { code: 'MODEL_NOT_FOUND' });
  });
});
