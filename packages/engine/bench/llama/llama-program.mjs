// llama-program.mjs LIBRARY MODEL.gguf CONTEXT SEQUENCES: node-llama-cpp for contender-process.ts.
import { DECODE_PROMPT, memory, promptOf, serve } from './program-parts.mjs';

const [library, modelPath, context, sequences] = process.argv.slice(2);
const { getLlama } = await import(library);
const started = performance.now();
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error' });
const model = await llama.loadModel({ modelPath });
const own = await model.createContext({
  contextSize: Number(context),
  sequences: Number(sequences),
  batchSize: 512,
  threads: 2,
});
const all = Array.from({ length: Number(sequences) }, () => own.getSequence());
const [sequence] = all;
const loaded = performance.now() - started;

const GREEDY = { temperature: 0, yieldEogToken: true };
const rate = (tokens, begun) => (1000 * tokens) / (performance.now() - begun);

/** The greedy answer, and when its first token was there. */
async function answerOf(on, ids, tokens) {
  await on.clearHistory();
  const answer = [];
  let first = 0;
  for await (const token of on.evaluate(ids, GREEDY)) {
    if (answer.length === 0) first = performance.now();
    answer.push(token);
    if (answer.length === tokens) break;
  }
  return { answer, first };
}

async function tokensPerSecond({ kind, tokens, sequences: together = 1 }) {
  const begun = performance.now();
  if (kind === 'decode' && together > 1) {
    await Promise.all(all.slice(0, together).map((on, k) => answerOf(on, promptOf(k, DECODE_PROMPT), tokens)));
    return rate(together * tokens, begun);
  }
  if (kind === 'decode') {
    const { first } = await answerOf(sequence, promptOf(1, DECODE_PROMPT), tokens + 1);
    return rate(tokens, first);
  }
  await sequence.clearHistory();
  if (kind === 'prefill') {
    const start = performance.now();
    await sequence.evaluateWithoutGeneratingNewTokens(promptOf(5, tokens));
    return rate(tokens, start);
  }
  await sequence.evaluateWithoutGeneratingNewTokens(promptOf(1, DECODE_PROMPT));
  const start = performance.now();
  for (let i = 0; i < tokens; i++) await sequence.evaluateWithoutGeneratingNewTokens([(i * 53 + 7) % 4000]);
  return rate(tokens, start);
}

async function logitsAfter(ids) {
  await sequence.clearHistory();
  const last = [ids.at(-1), { generateNext: { logits: true } }];
  const outputs = await sequence.controlledEvaluate([...ids.slice(0, -1), last]);
  const found = outputs.at(-1)?.next.logits ?? new Map();
  const logits = new Float32Array(found.size);
  for (const [token, logit] of found) logits[token] = logit;
  return logits;
}

serve(loaded, {
  answer: async ({ ids, tokens }) => ({ ids: (await answerOf(sequence, ids, tokens)).answer }),
  rate: async ({ task }) => ({ tokensPerSecond: await tokensPerSecond(task) }),
  logits: async ({ ids }) => ({ logits: await logitsAfter(ids) }),
  memory: async () => memory(),
});
