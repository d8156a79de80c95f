// The process of checkout-process.ts. It is JavaScript and uses what every version of the engine has, so that it runs any.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder] = process.argv.slice(2);
const { Engine } = await import(pathToFileURL(join(folder, 'packages/engine/dist/index.js')).href);
const started = performance.now();
const engine = await Engine.load(undefined, { router: 'cpu' });
process.send({ type: 'loaded', milliseconds: performance.now() - started });

const complete = (promptIds, maxTokens) =>
  engine.complete({ promptIds, maxTokens, temperature: 0, ignoreEndTokens: true, reusePrefix: false });
/** Token ids that are all ordinary, others for each sequence. */
const promptOf = (sequence, tokens) => Array.from({ length: tokens }, (_, i) => (i * 37 + sequence * 11) % 4000);

async function tokensPerSecond(task) {
  if (task.kind === 'prefill') {
    const begun = performance.now();
    await complete(promptOf(0, task.tokens), 1);
    return (1000 * task.tokens) / (performance.now() - begun);
  }
  if (task.sequences === 1) return (await complete(promptOf(1, 16), task.tokens)).timings.decodeTokensPerSecond;
  const begun = performance.now();
  await Promise.all(Array.from({ length: task.sequences }, (_, k) => complete(promptOf(k, 16), task.tokens)));
  return (1000 * task.sequences * task.tokens) / (performance.now() - begun);
}

process.on('message', async (request) => {
  if (request.type === 'answer') {
    process.send({ type: 'answer', ids: (await complete(request.ids, request.tokens)).ids });
  } else {
    process.send({ type: 'rate', tokensPerSecond: await tokensPerSecond(request.task) });
  }
});
