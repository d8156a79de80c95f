import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { DuplicateJsonKeyError, InvalidJsonError } from '../../src/errors.ts';
import { parseJsonBytes, parseJsonText } from '../../src/files/json-text.ts';

describe('JSON', () => {
  it('is parsed as JSON.parse does, however it is spaced', () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(undefined, 1, '\t'), (text, space) => {
        const spaced = JSON.stringify(JSON.parse(text), null, space);
        assert.deepEqual(parseJsonText(spaced, 'x'), JSON.parse(spaced));
      }),
      { numRuns: 300 },
    );
  });

  it('is refused for any key that appears twice, at any depth', () => {
    fc.assert(
      fc.property(fc.string(), fc.json(), fc.nat(3), (key, value, depth) => {
        const quoted = JSON.stringify(key);
        const plain: unknown = JSON.parse(value);
        const pair = `${quoted} : ${JSON.stringify(plain)}`;
        const text = '[{"outer":'.repeat(depth) + `{${pair},"${key.length}-other":0,${pair}}` + '}]'.repeat(depth);
        assert.throws(
          () => parseJsonText(text, 'x'),
          (error: unknown) => error instanceof DuplicateJsonKeyError && error.key === key,
        );
      }),
      { numRuns: 300 },
    );
  });

  it('may have one key in several objects, and texts that look like keys', () => {
    for (const text of ['[{"a":1},{"a":1}]', '{"a":{"a":["a","a"]},"b":"\\"a\\":"}', '"a"', '{"a\\\\":1,"a":2}']) {
      assert.deepEqual(parseJsonText(text, 'x'), JSON.parse(text));
    }
  });

  it('must be UTF-8', () => {
    assert.throws(() => parseJsonBytes(Uint8Array.of(0x22, 0xc3, 0x22), 'x'), InvalidJsonError);
  });
});
