import assert from 'node:assert/strict';
import type { SamplingParameters } from '../../sampling/parameters.ts';
import { Sampler } from '../../sampling/sampler.ts';
import { tokenMaskWords } from '../../sampling/token-mask.ts';
import type { RunnerCase, SuiteRun } from './suite-run.ts';
import { GREEDY } from './suite-run.ts';

const DRAWN: Partial<SamplingParameters> = { temperature: 0.9, seed: 1234 };
const ANSWER_TOKENS = 6;

/** Ways to choose. Whatever stands here has to be chosen as the sampler of sampling/sampler.ts chooses it. */
const PARAMETERS: readonly (readonly [string, Partial<SamplingParameters>])[] = [
  ['greedy', {}],
  ['temperature', DRAWN],
  ['top-k', { ...DRAWN, topK: 5 }],
  ['top-p', { ...DRAWN, topP: 0.7 }],
  ['min-p', { ...DRAWN, minP: 0.05 }],
  ['top-k, top-p and min-p', { ...DRAWN, temperature: 1.4, topK: 50, topP: 0.9, minP: 0.01 }],
  ['penalties', { ...DRAWN, repetitionPenalty: 1.3, presencePenalty: 0.7, frequencyPenalty: 0.4 }],
  ['penalties, greedily', { repetitionPenalty: 1.5, frequencyPenalty: 1 }],
  [
    'a bias',
    {
      ...DRAWN,
      logitBias: [
        [17, 12],
        [99, -100],
      ],
    },
  ],
];

/** Tokens are chosen from the logits as the one sampler chooses them. */
export const samplerCases: readonly RunnerCase[] = [
  ...PARAMETERS.map(
    ([name, parameters]): RunnerCase => ({
      section: 'samplers',
      name: `${name}: the tokens that the sampler chooses from the same logits, step by step`,
      run: async (suite) => {
        const prompt = suite.prompt(0);
        const twin = new Sampler({ ...GREEDY, ...parameters }, prompt);
        const sampler = suite.sampler(parameters, prompt);
        const expected = await answerOf(suite, prompt, (logits) => twin.sample(logits));
        assert.deepEqual(await chosen(suite, prompt, sampler, ANSWER_TOKENS), expected);
      },
    }),
  ),
  {
    section: 'samplers',
    name: 'a sampler that goes on with an answer chooses what the first would have',
    run: async (suite) => {
      const prompt = suite.prompt(3);
      const parameters = { ...DRAWN, presencePenalty: 0.5 };
      const whole = await chosen(suite, prompt, suite.sampler(parameters, prompt), ANSWER_TOKENS);
      const half = whole.slice(0, 3);
      const resumed = suite.sampler(parameters, prompt, half);
      const sequence = suite.sequence();
      await suite.append(sequence, prompt);
      for (const token of half.slice(0, -1)) await suite.append(sequence, Int32Array.of(token));
      const rest: number[] = [];
      while (rest.length < ANSWER_TOKENS - half.length) {
        const { token } = await suite.alone({ sequence, tokens: 'sampled', want: 'token', sampler: resumed });
        rest.push(token);
      }
      assert.deepEqual(rest, whole.slice(3));
    },
  },
  {
    section: 'samplers',
    name: 'samplers side by side each have their own random numbers',
    run: async (suite) => {
      const prompt = suite.prompt(0);
      const seeds = [1, 2, 3, 4];
      const alone: number[][] = [];
      for (const seed of seeds) alone.push(await chosen(suite, prompt, suite.sampler({ ...DRAWN, seed }), 4));
      const rows = seeds.map((seed) => ({
        sequence: suite.sequence(),
        sampler: suite.sampler({ ...DRAWN, seed }),
        answer: [] as number[],
      }));
      await suite.step(rows.map(({ sequence }) => ({ sequence, tokens: prompt.subarray(0, -1), want: 'none' })));
      for (let count = 0; count < 4; count++) {
        const outputs = await suite.step(
          rows.map(({ sequence, sampler }) => ({
            sequence,
            sampler,
            want: 'token',
            tokens: count === 0 ? prompt.subarray(-1) : 'sampled',
          })),
        );
        outputs.forEach(({ token }, index) => rows[index]?.answer.push(token));
      }
      assert.deepEqual(
        rows.map(({ answer }) => answer),
        alone,
      );
    },
  },
  {
    section: 'samplers',
    name: 'a mask lets only its tokens through, greedily and drawn, and the likeliest of them greedily',
    run: async (suite) => {
      const prompt = suite.prompt(1);
      const width = suite.runner.vocabularySize;
      const mask = new Uint32Array(tokenMaskWords(width));
      const allowed = [0, 31, 32, 333, width - 1].filter((id) => id < width);
      for (const id of allowed) mask[id >>> 5] = (mask[id >>> 5] as number) | (1 << (id & 31));
      const logits = await suite.logitsAfter(prompt);
      const best = allowed.reduce((most, id) => ((logits[id] as number) > (logits[most] as number) ? id : most));
      const step = async (sampler: number): Promise<number> =>
        (await suite.alone({ sequence: suite.sequence(), tokens: prompt, want: 'token', sampler, mask })).token;
      assert.equal(await step(suite.sampler()), best);
      for (let seed = 0; seed < 8; seed++) {
        const token = await step(suite.sampler({ temperature: 2, seed }));
        assert.ok(allowed.includes(token), `token ${token} is not allowed`);
      }
    },
  },
];

/** An answer by decode steps, its tokens chosen above the border from whole rows. */
async function answerOf(
  suite: SuiteRun,
  prompt: Int32Array,
  choose: (logits: Float32Array) => number,
): Promise<number[]> {
  const sequence = suite.sequence();
  await suite.append(sequence, prompt.subarray(0, -1));
  const answer: number[] = [];
  let next = prompt.subarray(-1);
  while (answer.length < ANSWER_TOKENS) {
    const { logits } = await suite.alone({ sequence, tokens: next, want: 'last' });
    const token = choose(logits);
    answer.push(token);
    next = Int32Array.of(token);
  }
  suite.drop(sequence);
  return answer;
}

/** An answer by decode steps, its tokens chosen by the runner. */
async function chosen(suite: SuiteRun, prompt: Int32Array, sampler: number, count: number): Promise<number[]> {
  const sequence = suite.sequence();
  await suite.append(sequence, prompt.subarray(0, -1));
  const answer: number[] = [];
  let tokens: Int32Array | 'sampled' = prompt.subarray(-1);
  while (answer.length < count) {
    answer.push((await suite.alone({ sequence, tokens, want: 'token', sampler })).token);
    tokens = 'sampled';
  }
  suite.drop(sequence);
  return answer;
}
