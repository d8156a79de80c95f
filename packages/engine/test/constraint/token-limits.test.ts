import assert from 'node:assert/strict';
import { harmonyTokens, openSnapshot, type HarmonyTokens, type Snapshot } from '@switchyard/models';
import * as fc from 'fast-check';
import { LimitedTokens, type TokenLimits } from '../../src/constraint/token-limits.ts';
import type { TokenConstraint } from '../../src/constraint/token-constraint.ts';
import { allowsToken, type TokenMask, tokenMaskWords } from '../../src/sampling/token-mask.ts';

const TOKENS = 40;
/** More logits than tokens. */
const LOGITS = 64;

/** A constraint that allows the same tokens at every step. */
function fixed(ids: readonly number[]): TokenConstraint {
  const mask: TokenMask = new Uint32Array(tokenMaskWords(LOGITS));
  for (const id of ids) mask[id >>> 5] = (mask[id >>> 5] ?? 0) | (1 << (id & 31));
  return { ready: Promise.resolve(), mask: () => mask, accept: () => undefined, [Symbol.dispose]: () => undefined };
}

const idsOf = (mask: TokenMask | null): number[] =>
  Array.from({ length: LOGITS }, (_, id) => id).filter((id) => mask === null || allowsToken(mask, id));

describe('LimitedTokens', () => {
  let snapshot: Snapshot;
  let control: HarmonyTokens;
  before(async () => {
    snapshot = await openSnapshot();
    control = harmonyTokens(snapshot.tokenizer);
  });
  after(() => snapshot.dispose());

  const limited = (limits: Partial<TokenLimits>, base: TokenConstraint | null = null): LimitedTokens =>
    new LimitedTokens(base, { allowed: null, banned: [], startsInHeader: false, ...limits }, control, LOGITS, TOKENS);

  it('lets no banned sequence through, whatever is chosen, and bans nothing else', () => {
    const letter = fc.integer({ min: 0, max: 3 });
    const sequences = fc.array(fc.array(letter, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(sequences, fc.array(fc.nat(), { maxLength: 40 }), (banned, choices) => {
        const limits = limited({ banned });
        const chosen: number[] = [];
        for (const choice of choices) {
          const may = idsOf(limits.mask()).filter((id) => id < 5);
          for (let id = 0; id < 5; id += 1) {
            const ends = banned.some(
              (sequence) => String([...chosen, id].slice(-sequence.length)) === String(sequence),
            );
            assert.equal(
              may.includes(id),
              !ends,
              `${id} after ${JSON.stringify(chosen)} with ${JSON.stringify(banned)}`,
            );
          }
          const next = may[choice % may.length] ?? 4;
          limits.accept(next);
          chosen.push(next);
        }
      }),
    );
  });

  it('lets only allowed tokens through, of those that the base allows', () => {
    const some = fc.uniqueArray(fc.integer({ min: 0, max: TOKENS - 1 }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(some, some, (allowed, base) => {
        assert.deepEqual(
          idsOf(limited({ allowed }).mask()),
          allowed.toSorted((a, b) => a - b),
        );
        const both = allowed.filter((id) => base.includes(id)).toSorted((a, b) => a - b);
        // A base that leaves nothing else wins: an answer has to go on.
        const expected = both.length > 0 ? both : base.toSorted((a, b) => a - b);
        assert.deepEqual(idsOf(limited({ allowed }, fixed(base)).mask()), expected);
      }),
    );
  });

  it('never leaves nothing: where a grammar demands a banned token, it comes', () => {
    assert.deepEqual(idsOf(limited({ banned: [[7]] }, fixed([7])).mask()), [7]);
    assert.deepEqual(idsOf(limited({ banned: [[7]] }, fixed([7, 8])).mask()), [8]);
  });

  it('bans nothing inside of headers, and keeps ids without a token out of its own masks', () => {
    const limits = limited({ banned: [[7]], startsInHeader: true });
    assert.equal(limits.mask(), null);
    limits.accept(control.message);
    assert.deepEqual(
      idsOf(limits.mask()),
      Array.from({ length: TOKENS }, (_, id) => id).filter((id) => id !== 7),
    );
    limits.accept(control.start);
    assert.equal(limits.mask(), null);
  });
});
