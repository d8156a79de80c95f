/**
 * A GPT-OSS pipeline in one file: load a checkpoint, ask a question, stream the answer, show what the routers did.
 *
 * @module
 */
import { parseArgs } from 'node:util';
import { Engine, EngineError, type GenerateResult, type WorkerReport } from '@switchyard/engine';
import { drawHeatMap } from './heat-map.ts';
import { createTerminal, type Terminal } from './terminal.ts';

const DEFAULT_QUESTION = 'What is a lighthouse?';

const HELP = `Usage: npm start -- [QUESTION] [options]

Asks a GPT-OSS model one question (default: "${DEFAULT_QUESTION}") and shows what happened.

  --model DIR    a GPT-OSS checkpoint folder (default: the embedded one)
  --json         print one JSON object and nothing else
  --no-color     no colours
  --help         this text
`;

interface Arguments {
  readonly question: string;
  readonly model: string | undefined;
  readonly json: boolean;
  readonly color: boolean;
  readonly help: boolean;
}

function readArguments(): Arguments {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      model: { type: 'string' },
      json: { type: 'boolean', default: false },
      'no-color': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  return {
    question: positionals.length > 0 ? positionals.join(' ') : DEFAULT_QUESTION,
    model: values.model,
    json: values.json,
    color: !values['no-color'],
    help: values.help,
  };
}

/** Draws the load on one line of an interactive terminal, and nothing elsewhere. */
function showProgress(terminal: Terminal): (progress: { fraction: number }) => void {
  const width = 24;
  return ({ fraction }) => {
    if (!terminal.interactive) return;
    const done = Math.round(fraction * width);
    const bar = `${'#'.repeat(done)}${'.'.repeat(width - done)}`;
    process.stdout.write(`\r${terminal.dim(`loading [${bar}] ${Math.round(fraction * 100)} %`)}`);
    if (fraction === 1) process.stdout.write('\r\u001b[2K');
  };
}

/** Streams one answer: the analysis dimmed, the final message plain. */
async function answer(engine: Engine, question: string, terminal: Terminal | null): Promise<GenerateResult> {
  let analysis = '';
  let final = '';
  for await (const event of engine.generate({ messages: [{ role: 'user', content: question }] })) {
    if (event.type === 'analysis') {
      analysis += event.text;
      if (terminal !== null) process.stdout.write(terminal.dim(event.text));
    } else if (event.type === 'content') {
      if (terminal !== null) process.stdout.write(final === '' && analysis !== '' ? `\n${event.text}` : event.text);
      final += event.text;
    } else if (event.type === 'done') {
      if (terminal !== null) process.stdout.write('\n');
      const { type: _type, ...rest } = event;
      return { ...rest, analysis, final, toolCalls: [] };
    }
  }
  throw new Error('The answer ended without its last event');
}

const perSecond = (rate: number): string => `${Math.round(rate)} tokens/s`;

function report(engine: Engine, result: GenerateResult, after: WorkerReport, terminal: Terminal): string[] {
  const { usage, timings } = result;
  const { router, runner } = engine.model;
  return [
    '',
    terminal.bold('What happened'),
    `  prompt      ${usage.promptTokens} tokens, ${perSecond(timings.prefillTokensPerSecond)} prefill`,
    `  answer      ${usage.completionTokens} tokens, ${perSecond(timings.decodeTokensPerSecond)} decode`,
    `  first token after ${timings.timeToFirstToken.toFixed(1)} ms`,
    `  router      ${router.backend} (${router.device})`,
    `  model       ${engine.path}, ${runner}`,
    '',
    terminal.bold('Expert load') +
      terminal.dim('  a row is a layer, a column an expert; brightest is the busiest of its layer'),
    ...drawHeatMap(after.expertLoad, terminal),
  ];
}

async function main(): Promise<void> {
  const options = readArguments();
  if (options.help) {
    process.stdout.write(HELP);
    return;
  }
  const terminal = createTerminal(process.stdout, options.color);
  await using engine = await Engine.load(options.model, options.json ? {} : { onProgress: showProgress(terminal) });
  if (!options.json) process.stdout.write(`${terminal.bold('> ')}${options.question}\n`);
  const result = await answer(engine, options.question, options.json ? null : terminal);
  const after = await engine.report();
  if (!options.json) {
    process.stdout.write(`${report(engine, result, after, terminal).join('\n')}\n`);
    return;
  }
  const { layers, experts, counts } = after.expertLoad;
  const expertLoad = Array.from({ length: layers }, (_, layer) =>
    Array.from(counts.subarray(layer * experts, (layer + 1) * experts)),
  );
  const { ids, text, analysis, final, finishReason, usage, timings } = result;
  const { router, runner } = engine.model;
  const summary = {
    question: options.question,
    ids,
    text,
    analysis,
    final,
    finishReason,
    usage,
    timings,
    router,
    runner,
  };
  process.stdout.write(`${JSON.stringify({ ...summary, expertLoad })}\n`);
}

const USAGE_ERROR = 2;

try {
  await main();
} catch (error) {
  if (!(error instanceof Error)) throw error;
  const wrongUsage = 'code' in error && typeof error.code === 'string' && error.code.startsWith('ERR_PARSE_ARGS');
  // An error of the engine says all that a person needs; any other is a defect, whose stack matters.
  const message = wrongUsage
    ? `${error.message}\n\n${HELP}`
    : error instanceof EngineError || 'code' in error
      ? error.message
      : (error.stack ?? error.message);
  process.stderr.write(`${message}\n`);
  process.exitCode = wrongUsage ? USAGE_ERROR : 1;
}
