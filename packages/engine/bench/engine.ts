/** The embedded checkpoint through the engine: scheduler, sampler, worker and reader included. */
import { Engine } from '../src/engine.ts';
import { reference } from '../test/golden/reference.ts';
import { type Summary, summary } from './summary.ts';

const ROUNDS = 9;
const DECODE_TOKENS = 128;

/** Tokens per second of one greedy answer, from its first token to its last, as `generate` tells them. */
export async function measureEngine(): Promise<Summary> {
  const [prompt] = reference;
  if (prompt === undefined) throw new Error('The reference has no prompts');
  await using engine = await Engine.load(undefined, { router: 'cpu' });
  const rates: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const { ids, timings } = await engine.complete({
      promptIds: prompt.ids,
      maxTokens: DECODE_TOKENS + 1,
      ignoreEndTokens: true,
      reusePrefix: false,
    });
    if (ids.slice(0, prompt.greedy.length).join() !== prompt.greedy.join()) {
      throw new Error('The answer is not the reference answer: no figure counts');
    }
    if (round > 0) rates.push(timings.decodeTokensPerSecond);
  }
  return summary(rates, 'highest');
}
