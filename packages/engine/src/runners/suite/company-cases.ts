import assert from 'node:assert/strict';
import type { SequenceStep } from '../runner.ts';
import type { RunnerCase, SuiteRun } from './suite-run.ts';
import { assertSameBits } from './suite-run.ts';

/** How many others a row is computed beside. */
const COMPANIES = [1, 2, 7, 17, 64] as const;

/** A row's result does not depend on what else is in the step: the same kind of row has the same bits in any company. */
export const companyCases: readonly RunnerCase[] = [
  ...COMPANIES.map(
    (others): RunnerCase => ({
      section: 'company',
      name: `a decode row has the same bits alone and beside ${others} other decode rows, wherever it stands`,
      run: async (suite) => {
        const { alone, copy, next } = await preparedRow(suite);
        const company = await decodeCompany(suite, others);
        const place = Math.floor(others / 2);
        const batch = company.toSpliced(place, 0, { sequence: copy, tokens: next, want: 'last' });
        const outputs = await suite.step(batch);
        assertSameBits(outputs[place]?.logits ?? new Float32Array(0), alone, `row ${place} of ${batch.length}`);
      },
    }),
  ),
  {
    section: 'company',
    name: "a decode row has the same bits alone and beside others' prefill pieces",
    run: async (suite) => {
      const { alone, copy, next } = await preparedRow(suite);
      const outputs = await suite.step([
        { sequence: suite.sequence(), tokens: suite.prompt(2), want: 'last' },
        { sequence: copy, tokens: next, want: 'last' },
        { sequence: suite.sequence(), tokens: suite.longest, want: 'none' },
        ...(await decodeCompany(suite, 3)),
      ]);
      assertSameBits(outputs[1]?.logits ?? new Float32Array(0), alone, 'a decode row beside prefill');
    },
  },
  {
    section: 'company',
    name: 'a prefill piece has the same bits alone and beside other pieces and decode rows',
    run: async (suite) => {
      const tokens = suite.prompt(1);
      const alone = await suite.alone({ sequence: suite.sequence(), tokens, want: 'all' });
      const outputs = await suite.step([
        ...(await decodeCompany(suite, 2)),
        { sequence: suite.sequence(), tokens, want: 'all' },
        { sequence: suite.sequence(), tokens: suite.prompt(4), want: 'last' },
      ]);
      assertSameBits(outputs[2]?.logits ?? new Float32Array(0), alone.logits, 'a prefill piece');
    },
  },
  {
    section: 'company',
    name: 'an answer has the same bits at every step while others join and leave',
    run: async (suite) => {
      const tokens = suite.prompt(0);
      const rows: Float32Array[] = [];
      const lone = suite.sequence();
      await suite.append(lone, tokens.subarray(0, -8));
      for (const token of tokens.subarray(-8)) {
        rows.push((await suite.alone({ sequence: lone, tokens: Int32Array.of(token), want: 'last' })).logits);
      }
      const sequence = suite.sequence();
      await suite.append(sequence, tokens.subarray(0, -8));
      let company: SequenceStep[] = [];
      for (const [index, token] of tokens.subarray(-8).entries()) {
        if (index % 2 === 0) company.push(...(await decodeCompany(suite, 2)));
        if (index % 3 === 2) company = company.slice(1);
        const own: SequenceStep = { sequence, tokens: Int32Array.of(token), want: 'last' };
        const outputs = await suite.step(index % 2 === 0 ? [own, ...company] : [...company, own]);
        const found = outputs[index % 2 === 0 ? 0 : company.length]?.logits ?? new Float32Array(0);
        assertSameBits(found, rows[index] as Float32Array, `token ${index} of the answer`);
      }
      assert.equal(suite.runner.length(sequence), tokens.length);
    },
  },
];

/** A row's logits alone, and a copy of its sequence just before it. */
async function preparedRow(suite: SuiteRun): Promise<{ alone: Float32Array; copy: number; next: Int32Array }> {
  const tokens = suite.prompt(0);
  const next = tokens.subarray(-1);
  const source = suite.sequence();
  await suite.append(source, tokens.subarray(0, -1));
  const copy = suite.fork(source, tokens.length - 1);
  assert.ok(copy !== null);
  const { logits } = await suite.alone({ sequence: source, tokens: next, want: 'last' });
  return { alone: logits, copy, next };
}

/** Decode rows of other sequences, of different lengths. */
async function decodeCompany(suite: SuiteRun, count: number): Promise<SequenceStep[]> {
  const rows: SequenceStep[] = [];
  for (let index = 0; index < count; index++) {
    const tokens = suite.prompt(index + 1);
    const length = 1 + ((index * 29) % (tokens.length - 1));
    const sequence = suite.sequence();
    await suite.append(sequence, tokens.subarray(0, length));
    rows.push({ sequence, tokens: tokens.subarray(length, length + 1), want: 'last' });
  }
  return rows;
}
