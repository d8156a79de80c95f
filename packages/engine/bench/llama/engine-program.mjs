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
  if (sequences === 1) return (await complete(promptOf(1, DECODE_PROMPT), tokens)).timings.decodeTokensPerSecond;
  await Promise.all(Array.from({ length: sequences }, (_, k) => complete(promptOf(k, DECODE_PROMPT), tokens)));
  return (1000 * sequences * tokens) / (performance.now() - begun);
}

serve(loaded, {
  answer: async ({ ids, tokens }) => ({ ids: (await complete(ids, tokens)).ids }),
  rate: async ({ task }) => ({ tokensPerSecond: await tokensPerSecond(task) }),
  memory: async () => memory(),
});
