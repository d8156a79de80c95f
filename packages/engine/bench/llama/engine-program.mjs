// engine-program.mjs MODEL: the engine, built, for contender-process.ts.
import { DECODE_PROMPT, memory, promptOf, serve } from './program-parts.mjs';

const [model] = process.argv.slice(2);
const { Engine } = await import(new URL('../../dist/index.js', import.meta.url).href);
const started = performance.now();
const engine = await Engine.load(model, { runner: 'native', router: 'cpu' });
const loaded = performance.now() - started;

const complete = (promptIds, maxTokens) =>
  engine.complete({ promptIds, maxTokens, temperature: 0, ignoreEndTokens: true, reusePrefix: false });

async function tokensPerSecond({ kind, tokens, sequences }) {
  const begun = performance.now();
  if (kind === 'prefill') {
    await complete(promptOf(5, tokens), 1);
    return (1000 * tokens) / (performance.now() - begun);
  }
  // From each one's first token on, whether it is alone or not: prompts of others that are read meanwhile count.
  const prompts = Array.from({ length: sequences }, (_, k) => promptOf(k + 1, DECODE_PROMPT));
  const answers = await Promise.all(prompts.map((prompt) => complete(prompt, tokens)));
  return answers.reduce((sum, { timings }) => sum + timings.decodeTokensPerSecond, 0);
}

serve(loaded, {
  answer: async ({ ids, tokens }) => ({ ids: (await complete(ids, tokens)).ids }),
  rate: async ({ task }) => ({ tokensPerSecond: await tokensPerSecond(task) }),
  memory: async () => memory(),
});
