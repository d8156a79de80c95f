/**
 * The main job as a person sees it: load a GPT-OSS checkpoint, ask it a question, watch it think and answer, and see
 * which experts the router sent the tokens to.
 *
 * Usage: npm start -- [QUESTION] [--model DIR] [--json] [--no-color]
 * Exit codes: 0 done, 1 runtime error, 2 wrong usage.
 */

import { parseArgs } from 'node:util';
import { Engine, type GenerateEvent, type GenerateResult, type LoadProgress } from '@switchyard/engine';
import { heatMap } from './heat-map.ts';

const DEFAULT_QUESTION = 'What is a lighthouse?';

const USAGE = `Usage: npm start -- [QUESTION] [options]

  --model DIR  Checkpoint folder in the Hugging Face layout. Default: the embedded pocket-dictionary
  --json       Print one JSON object instead of text
  --no-color   Print no escape codes
  --help       Print this help

Without a question it asks: ${DEFAULT_QUESTION}
`;
const { stdout, stderr, env } = process;

/** The command line is wrong. */
class UsageError extends Error {}

function parseCommandLine() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        model: { type: 'string' },
        json: { type: 'boolean', default: false },
        'no-color': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    const question = positionals.length === 0 ? DEFAULT_QUESTION : positionals.join(' ').trim();
    if (question === '') throw new UsageError('The question is empty · found no text · ask something or leave it out');
    const wantsColor = !values['no-color'] && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
    return { ...values, question, color: stdout.isTTY && wantsColor };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const found = error instanceof Error ? error.message : String(error);
    throw new UsageError(`The command line is not valid · ${found} · see npm start -- --help`, { cause: error });
  }
}

type Options = ReturnType<typeof parseCommandLine>;

const dim = (text: string, color: boolean): string => (color ? `\u001b[2m${text}\u001b[22m` : text);

let widest = 0;

function showProgress({ fraction, what }: LoadProgress): void {
  if (!stderr.isTTY) return;
  const bar = '#'.repeat(Math.round(fraction * 30)).padEnd(30, '.');
  // Checking a GPU for the first time takes some seconds, in which nothing is loaded.
  const checking = what.startsWith('GPU') ? `  ${what}` : '';
  const line = `Loading [${bar}] ${String(Math.round(fraction * 100)).padStart(3)} %${checking}`.padEnd(widest);
  widest = line.length;
  stderr.write(`\r${line}${fraction === 1 ? '\n' : ''}`);
}

/** Prints the answer as it comes and returns the last event. */
async function stream(events: AsyncIterable<GenerateEvent>, color: boolean): Promise<GenerateEvent & { type: 'done' }> {
  let last: GenerateEvent['type'] | null = null;
  for await (const event of events) {
    if (event.type === 'done') {
      stdout.write('\n\n');
      return event;
    }
    if (event.type !== 'analysis' && event.type !== 'content') continue;
    if (last !== null && last !== event.type) stdout.write('\n');
    last = event.type;
    stdout.write(event.type === 'analysis' ? dim(event.text, color) : event.text);
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

async function run({ question, model, json, color }: Options): Promise<void> {
  // Such as that there is a GPU whose answers are not to be trusted.
  const warn = (message: string, fields?: object): void =>
    void stderr.write(`${[message, ...Object.values(fields ?? {})].join(' · ')}\n`);
  await using engine = await Engine.load(model, { logger: { warn }, ...(json ? {} : { onProgress: showProgress }) });
  const request = { messages: [{ role: 'user' as const, content: question }] };
  if (json) {
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
  const done = await stream(engine.generate(request), color);
  stdout.write(`${summary(done, engine)}\n\n`);
  const { expertLoad } = await engine.report();
  stdout.write(`Tokens that each of ${expertLoad.experts} experts got, layer by layer:\n`);
  stdout.write(`${heatMap(expertLoad.counts, expertLoad.layers, expertLoad.experts, color)}\n`);
}

// A reader that goes away, such as head, is no error.
stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
try {
  const options = parseCommandLine();
  if (options.help) stdout.write(USAGE);
  else await run(options);
} catch (error) {
  stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
