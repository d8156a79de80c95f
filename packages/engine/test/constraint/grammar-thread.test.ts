import assert from 'node:assert/strict';
import { embeddedCheckpointPath, openSnapshot, type Snapshot } from '@switchyard/models';
import { GrammarThread } from '../../src/constraint/grammar/grammar-thread.ts';
import type { JsonBody } from '../../src/constraint/grammar/json-grammar.ts';
import { allowsToken } from '../../src/sampling/token-mask.ts';

const NUMBER = JSON.stringify({
  type: 'object',
  properties: { n: { type: 'integer' } },
  required: ['n'],
  additionalProperties: false,
});
/** One that the worker in this folder never comes to the end of. */
const SLOW = JSON.stringify({ $comment: 'endless' });
const SLOW_WORKER = new URL('./slow-grammar-worker.mjs', import.meta.url);

describe('GrammarThread', () => {
  let snapshot: Snapshot;
  before(async () => {
    snapshot = await openSnapshot();
  });
  after(() => snapshot.dispose());

  /** Feeds a text, each token inside its mask. */
  const feed = async (body: JsonBody, text: string): Promise<void> => {
    for (const token of snapshot.tokenizer.encode(text)) {
      assert.ok(allowsToken((await body.next()).mask, token), text);
      assert.equal(await body.accept(token), true);
    }
  };

  it('compiles, follows bodies side by side, and refuses what is outside', async () => {
    using grammars = new GrammarThread(embeddedCheckpointPath());
    await grammars.compile('format', NUMBER);
    await grammars.compile('format', null);
    using number = await grammars.start(NUMBER);
    using object = await grammars.start(null);
    await feed(number, '{"n"');
    await feed(object, '{"x":[1,');
    await feed(number, ':12');
    assert.equal((await number.next()).endAllowed, false);
    const [letter = 0] = snapshot.tokenizer.encode('x');
    assert.equal(allowsToken((await number.next()).mask, letter), false);
    assert.equal(await number.accept(letter), false);
    await feed(number, '3}');
    assert.equal((await number.next()).endAllowed, true);
    await feed(object, '{}]}');
    assert.equal((await object.next()).endAllowed, true);
  });

  it('refuses what is no schema, and again', async () => {
    using grammars = new GrammarThread(embeddedCheckpointPath());
    for (let time = 0; time < 2; time += 1) {
      await assert.rejects(grammars.compile('tools[0].parameters', '{"type":"strange"}'), {
        code: 'INVALID_REQUEST',
        field: 'tools[0].parameters',
      });
      await grammars.compile('format', NUMBER);
    }
  });

  it('gives up a schema that takes too long, remembers it, and goes on with everything else', async () => {
    using grammars = new GrammarThread(embeddedCheckpointPath(), 1000, SLOW_WORKER);
    using body = await grammars.start(NUMBER);
    await feed(body, '{"n":1');
    const slow = grammars.compile('format', SLOW);
    const refused = assert.rejects(slow, { field: 'format', found: 'a schema that takes more than 1 s to compile' });
    // Both wait behind it, and are made again in another thread.
    const [digit = 0] = snapshot.tokenizer.encode('2');
    const accepted = body.accept(digit);
    const other = grammars.compile('format', JSON.stringify({ type: 'string' }));
    await refused;
    assert.equal(await accepted, true);
    await other;
    await feed(body, '3}');
    assert.equal((await body.next()).endAllowed, true);
    await assert.rejects(grammars.compile('format', SLOW), { code: 'INVALID_REQUEST' });
  });

  it('ends what waits when it is disposed', async () => {
    const grammars = new GrammarThread(embeddedCheckpointPath());
    const waiting = assert.rejects(grammars.compile('format', NUMBER), { code: 'DISPOSED' });
    grammars[Symbol.dispose]();
    await waiting;
    await assert.rejects(grammars.start(null), { code: 'DISPOSED' });
  });
});
