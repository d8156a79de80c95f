/**
 * The main job as a person sees it: load a GPT-OSS checkpoint, ask it a question, watch it think and answer, and see
 * which experts the router sent the tokens to.
 *
 * Usage: npm start -- [QUESTION] [--model DIR] [--json] [--no-color]
 */
import { parseArgs } from 'node:util';
import { Engine, type GenerateEvent, type GenerateResult } from '@switchyard/engine';
import { heatMap } from './heat-map.ts';

const DEFAULT_QUESTION = 'What is a lighthouse?';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string' },
    json: { type: 'boolean', default: false },
    'no-color': { type: 'boolean', default: false },
  },
});
const question = positionals.length > 0 ? positionals.join(' ') : DEFAULT_QUESTION;
const { stdout, stderr, env } = process;
const color = stdout.isTTY && !values['no-color'] && (env['NO_COLOR'] ?? '') === '';
const dim = (text: string): string => (color ? `\u001b[2m${text}\u001b[22m` : text);

function showProgress(fraction: number): void {
  if (values.json || !stderr.isTTY) return;
  const bar = '#'.repeat(Math.round(fraction * 30)).padEnd(30, '.');
  stderr.write(`\rLoading [${bar}] ${String(Math.round(fraction * 100)).padStart(3)} %${fraction === 1 ? '\n' : ''}`);
}

/** Prints the answer as it comes and returns the last event. */
async function stream(events: AsyncIterable<GenerateEvent>): Promise<GenerateEvent & { type: 'done' }> {
  let last: GenerateEvent['type'] | null = null;
  for await (const event of events) {
    if (event.type === 'done') {
      stdout.write('\n\n');
      return event;
    }
    if (event.type !== 'analysis' && event.type !== 'content') continue;
    if (last !== null && last !== event.type) stdout.write('\n');
    last = event.type;
    stdout.write(event.type === 'analysis' ? dim(event.text) : event.text);
  }
  throw new Error('The answer ended without a last event');
}

function summary({ usage, timings }: Pick<GenerateResult, 'usage' | 'timings'>, engine: Engine): string {
  const { runner, router } = engine.model;
  return [
    `tokens    ${usage.promptTokens} prompt, ${usage.completionTokens} generated (${usage.reasoningTokens} of them analysis)`,
    `speed     prefill ${timings.prefillTokensPerSecond.toFixed(0)} tokens/s, decode ${timings.decodeTokensPerSecond.toFixed(0)} tokens/s`,
    `latency   first token after ${timings.timeToFirstToken.toFixed(1)} ms, all after ${timings.total.toFixed(1)} ms`,
    `runner    ${runner}`,
    `router    ${router.backend} (${router.device})`,
  ].join('\n');
}

async function run(): Promise<void> {
  await using engine = await Engine.load(values.model, { onProgress: ({ fraction }) => showProgress(fraction) });
  const request = { messages: [{ role: 'user' as const, content: question }] };
  if (values.json) {
    const result = await engine.complete(request);
    const { expertLoad } = await engine.report();
    const { layers, experts, counts } = expertLoad;
    const load = Array.from({ length: layers }, (_, layer) => [
      ...counts.subarray(layer * experts, (layer + 1) * experts),
    ]);
    stdout.write(`${JSON.stringify({ question, ...result, router: engine.model.router, expertLoad: load })}\n`);
    return;
  }
  stdout.write(`${question}\n\n`);
  const done = await stream(engine.generate(request));
  stdout.write(`${summary(done, engine)}\n\n`);
  const { expertLoad } = await engine.report();
  stdout.write(`Tokens that each of ${expertLoad.experts} experts got, layer by layer:\n`);
  stdout.write(`${heatMap(expertLoad.counts, expertLoad.layers, expertLoad.experts, color)}\n`);
}

try {
  await run();
} catch (error) {
  stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
