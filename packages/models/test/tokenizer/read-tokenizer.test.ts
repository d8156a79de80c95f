import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { readTokenizer, readTokenizerInThread } from '../../src/tokenizer/read-tokenizer.ts';
import { embeddedCheckpointPath, openSnapshot } from '../../src/snapshot.ts';
import { TokenTable } from '../../src/tokenizer/token-table.ts';
import { O200K_PATTERN } from '../../src/tokenizer/split-pattern.ts';
import { syntheticTokenizer } from '../fixtures/synthetic-checkpoint.ts';

/** Spaces that make a file too large to be read without a thread. */
const PADDING = ' '.repeat(2 ** 20);

describe('TokenTable', () => {
  it('finds every token by its bytes, wherever they lie, and nothing else', () => {
    const tokens = fc.uniqueArray(fc.uint8Array({ minLength: 1, maxLength: 6 }), {
      selector: (bytes) => bytes.join(),
      maxLength: 300,
    });
    fc.assert(
      fc.property(tokens, fc.uint8Array({ maxLength: 4 }), (all, before) => {
        const special = new Set(all.flatMap((_, id) => (id % 7 === 0 ? id : [])));
        // What a structured clone makes of it.
        const table = new TokenTable(structuredClone(TokenTable.of(all, special).data));
        assert.equal(table.size, all.length);
        for (const [id, bytes] of all.entries()) {
          assert.deepEqual([...(table.bytesOf(id) ?? [])], [...bytes]);
          const around = Uint8Array.of(...before, ...bytes, 7);
          assert.equal(table.find(around, before.length, before.length + bytes.length), special.has(id) ? -1 : id);
        }
        assert.equal(table.find(Uint8Array.from({ length: 7 }), 0, 7), -1);
        assert.deepEqual([table.bytesOf(-1), table.bytesOf(all.length)], [undefined, undefined]);
      }),
      { numRuns: 100 },
    );
  });
});

describe('reading a tokenizer in a thread', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'switchyard-tokenizer-'));
  });
  after(() => rm(folder, { recursive: true }));

  const write = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, text);
    return path;
  };

  it('gives what reading it here gives, in memory that threads share', async () => {
    const path = await write('large.json', JSON.stringify(syntheticTokenizer()) + PADDING);
    const data = await readTokenizerInThread(path);
    assert.deepEqual(data, readTokenizer(path));
    assert.ok(data.tokens.bytes.buffer instanceof SharedArrayBuffer);
  });

  it('gives the error that reading it here gives', async () => {
    const broken: readonly (readonly [name: string, text: string, code: string])[] = [
      ['no-json.json', `{${PADDING}`, 'INVALID_JSON'],
      ['twice.json', `{"a":1,"a":2}${PADDING}`, 'DUPLICATE_JSON_KEY'],
      ['no-tokenizer.json', `{}${PADDING}`, 'INVALID_TOKENIZER'],
    ];
    for (const [name, text, code] of broken) {
      await assert.rejects(readTokenizerInThread(await write(name, text)), { code, path: join(folder, name) });
    }
    await assert.rejects(readTokenizerInThread(join(folder, 'nothing.json')), { code: 'FILE_NOT_READABLE' });
  });

  it('ends at its signal, before and while it reads', async () => {
    const path = await write('aborted.json', JSON.stringify(syntheticTokenizer()) + PADDING);
    const reason = new Error('enough');
    await assert.rejects(readTokenizerInThread(path, AbortSignal.abort(reason)), reason);
    const abort = new AbortController();
    const reading = readTokenizerInThread(path, abort.signal);
    abort.abort(reason);
    await assert.rejects(reading, reason);
  });

  it('spares another snapshot of the folder the reading', async () => {
    using first = await openSnapshot();
    // No file is read for it: this one's tokens are other ones.
    const data = {
      ...first.tokenizerData,
      specialTokens: new Map([...first.tokenizerData.specialTokens].slice(0, 15)),
    };
    using second = await openSnapshot(embeddedCheckpointPath(), { tokenizer: data });
    assert.equal(second.tokenizer.specialTokens.size, 15);
    assert.equal(second.tokenizerData, data);
    assert.equal(first.tokenizerData.pattern, O200K_PATTERN);
    using third = await openSnapshot(embeddedCheckpointPath(), { tokenizer: 'thread' });
    assert.deepEqual(third.tokenizerData, first.tokenizerData);
  });
});
