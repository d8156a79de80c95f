import assert from 'node:assert/strict';
import type { RunnerCase, SuiteRun } from './suite-run.ts';
import { assertClose, assertSameBits } from './suite-run.ts';

/** Sequences hold what was appended, however it was cut, copied and cut back. */
export const sequenceCases: readonly RunnerCase[] = [
  {
    section: 'sequences',
    name: 'a prompt has the same logits whole, in pieces of any size and token by token, past the window',
    run: async (suite) => {
      const { longest, window } = suite;
      assert.ok(longest.length > 2 * window, 'one golden prompt has to be longer than two windows');
      const whole = await suite.logitsInPieces(longest, [longest.length]);
      for (const sizes of [[1], [7], [window], [window + 1, 1], [window - 1, 1, 3, 64]]) {
        const pieces = await suite.logitsInPieces(longest, sizes);
        assertClose(pieces, whole, suite.tolerances.betweenKinds, `pieces of ${sizes.join(', ')}`);
      }
    },
  },
  ...([0, 1, 2] as const).map(
    (place): RunnerCase => ({
      section: 'sequences',
      name: `forks ${['inside', 'at', 'past'][place]} the window go on as if computed anew, and leave their source as it was`,
      run: (suite) => checkForks(suite, placesOf(suite)[place]),
    }),
  ),
  ...([0, 1, 2] as const).map(
    (place): RunnerCase => ({
      section: 'sequences',
      name: `a sequence cut back ${['inside', 'at', 'past'][place]} the window goes on with other tokens as if computed anew`,
      run: (suite) => checkTruncation(suite, placesOf(suite)[place]),
    }),
  ),
  {
    section: 'sequences',
    name: 'what the window has dropped cannot be forked or cut back to, or is right',
    run: async (suite) => {
      const { longest, window } = suite;
      const source = suite.sequence();
      await suite.append(source, longest);
      const length = Math.min(window + 5, longest.length - window);
      const copy = suite.fork(source, length);
      if (copy !== null) await checkContinuation(suite, copy, length);
      if (suite.runner.truncate(source, length)) await checkContinuation(suite, source, length);
      else assert.equal(suite.runner.length(source), longest.length, 'a refused cut changes nothing');
    },
  },
  {
    section: 'sequences',
    name: 'many sequences come, grow, go and make room for others without meeting each other',
    run: async (suite) => {
      const open: { sequence: number; tokens: number[] }[] = [];
      const source = suite.longest;
      for (let round = 0; round < 24; round++) {
        if (round % 2 === 0) open.push({ sequence: suite.sequence(), tokens: [] });
        if (round % 5 === 4) suite.drop((open.splice(round % open.length, 1)[0] as { sequence: number }).sequence);
        const batch = open.map((entry, index) => {
          const start = (round * 31 + index * 17) % (source.length - 40);
          const tokens = source.subarray(start, start + (index % 3 === 0 ? 9 : 1));
          entry.tokens.push(...tokens);
          return { sequence: entry.sequence, tokens, want: 'none' as const };
        });
        await suite.step(batch);
      }
      for (const { sequence, tokens } of open) {
        assert.equal(suite.runner.length(sequence), tokens.length);
        const next = source.subarray(3, 4);
        const { logits } = await suite.alone({ sequence, tokens: next, want: 'last' });
        const expected = await suite.logitsAfter(Int32Array.of(...tokens, ...next));
        assertClose(logits, expected, suite.tolerances.betweenKinds, `a sequence of ${tokens.length} tokens`);
      }
    },
  },
];

/** Lengths inside, at and past the window. */
function placesOf({ window, longest }: SuiteRun): readonly [number[], number[], number[]] {
  const past = Math.min(2 * window, longest.length - 10);
  return [
    [1, Math.floor(window / 2)],
    [window - 1, window, window + 1],
    [Math.floor(1.5 * window), past],
  ];
}

async function checkForks(suite: SuiteRun, lengths: readonly number[]): Promise<void> {
  const { longest } = suite;
  for (const length of lengths) {
    const source = suite.sequence();
    const more = Math.min(longest.length, length + 4);
    await suite.append(source, longest.subarray(0, length));
    const atEnd = suite.fork(source, length);
    assert.ok(atEnd !== null, 'a fork at the end of a sequence is always possible');
    await suite.append(source, longest.subarray(length, more));
    const before = suite.fork(source, more);
    assert.ok(before !== null);
    const inside = suite.fork(source, length);
    await checkContinuation(suite, atEnd, length);
    if (inside !== null) await checkContinuation(suite, inside, length);
    const next = longest.subarray(0, 1);
    const [kept, copied] = [
      await suite.alone({ sequence: source, tokens: next, want: 'last' }),
      await suite.alone({ sequence: before, tokens: next, want: 'last' }),
    ];
    assertSameBits(copied.logits, kept.logits, `a copy beside its source, at ${more}`);
  }
}

async function checkTruncation(suite: SuiteRun, lengths: readonly number[]): Promise<void> {
  const { longest } = suite;
  for (const length of lengths) {
    const sequence = suite.sequence();
    await suite.append(sequence, longest.subarray(0, length));
    // Other tokens than those that come after the cut: what is left of them would show.
    await suite.append(sequence, longest.subarray(5, 9));
    if (!suite.runner.truncate(sequence, length)) {
      assert.ok(length > suite.window, `four tokens can be taken back at ${length}: no window has dropped anything`);
      assert.equal(suite.runner.length(sequence), length + 4, 'a refused cut changes nothing');
      continue;
    }
    assert.equal(suite.runner.length(sequence), length);
    await checkContinuation(suite, sequence, length);
  }
}

/** Goes on with the longest prompt's tokens from `length` on, first several and then one, and compares with all anew. */
async function checkContinuation(suite: SuiteRun, sequence: number, length: number): Promise<void> {
  const { longest } = suite;
  const end = Math.min(longest.length, length + 6);
  const piece = await suite.alone({ sequence, tokens: longest.subarray(length, end - 1), want: 'last' });
  const single = await suite.alone({ sequence, tokens: longest.subarray(end - 1, end), want: 'last' });
  const { betweenKinds } = suite.tolerances;
  assertClose(piece.logits, await suite.logitsAfter(longest.subarray(0, end - 1)), betweenKinds, `from ${length}`);
  assertClose(single.logits, await suite.logitsAfter(longest.subarray(0, end)), betweenKinds, `a token later`);
}
