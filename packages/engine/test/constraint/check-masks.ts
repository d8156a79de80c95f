import assert from 'node:assert/strict';
import type { JsonBody, JsonGrammars } from '../../src/constraint/grammar/json-grammar.ts';
import { allowsToken } from '../../src/sampling/token-mask.ts';

/**
 * Follows a valid value token by token: each mask lets through just the tokens that are then taken, and the end where it may
 * end.
 *
 * @param schema As a body is started with.
 */
export async function checkMasks(
  grammars: JsonGrammars,
  vocabulary: readonly Uint8Array[],
  schema: string,
  value: string,
): Promise<void> {
  const follow = async (ids: readonly number[]): Promise<JsonBody | null> => {
    const body = await grammars.start(schema);
    for (const id of ids) if (!(await body.accept(id))) return null;
    return body;
  };
  const bytes = Buffer.from(value);
  const read: number[] = [];
  for (let at = 0; at <= bytes.length; ) {
    const body = await follow(read);
    assert.ok(body, `${schema} begins ${value.slice(0, at)}`);
    const { mask, endAllowed } = await body.next();
    for (const id of vocabulary.keys()) {
      const taken = (await follow([...read, id])) !== null;
      assert.equal(allowsToken(mask, id), taken, `${schema} after ${value.slice(0, at)}: ${String(vocabulary[id])}`);
    }
    if (at === bytes.length) assert.ok(endAllowed, schema);
    const rest = bytes.subarray(at);
    const fits = vocabulary.flatMap((piece, id) => (rest.subarray(0, piece.length).equals(piece) ? [id] : []));
    // Not always the longest: tokens meet values in every way.
    const id = fits[(at * 7) % Math.max(fits.length, 1)] ?? -1;
    read.push(id);
    at += vocabulary[id]?.length ?? Infinity;
  }
}
