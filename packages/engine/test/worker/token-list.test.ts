import assert from 'node:assert/strict';
import type { TokenReport } from '../../src/scheduler/job.ts';
import { eachToken, listOfTokens } from '../../src/worker/token-list.ts';

describe('the tokens of a step between threads', () => {
  it('are what they were, those with more to tell among them', () => {
    const logprobs = { logprob: -1.5, top: [] };
    const reports: TokenReport[] = [
      { id: 7, token: 201_087, at: 1_764_000_000_000.25 },
      { id: 2 ** 40, token: 0, at: 12.5, start: { cachedTokens: 3, queue: 0.5, prefill: 2 } },
      { id: 9, token: 5, at: 13, logprobs: logprobs as unknown as NonNullable<TokenReport['logprobs']> },
      { id: 2 ** 50, token: 1, at: 0 },
    ];
    const list = structuredClone(listOfTokens(reports));
    assert.equal(list.plain.length, 6);
    const found: TokenReport[] = [];
    eachToken(list, (report) => found.push(report));
    const byId = (all: readonly TokenReport[]) => all.toSorted((a, b) => a.id - b.id);
    assert.deepEqual(byId(found), byId(reports));
  });

  it('are none where there are none', () => {
    eachToken(listOfTokens([]), () => assert.fail('there is no token'));
  });
});
