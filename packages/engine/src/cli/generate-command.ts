/** `switchyard generate`. */

import { collect } from '../answer/collect.ts';
import type { GenerateEvent } from '../events.ts';
import type { GenerateRequest, PromptInput } from '../request.ts';
import { AnswerPrinter } from './answer-printer.ts';
import { parseIds, readMessages, readPrompt } from './input-files.ts';
import { loadEngine } from './loading-line.ts';
import { type OptionValues, UsageError } from './parse-options.ts';
import { conversationOptions, engineOptions, samplingOptions } from './request-options.ts';
import { RoutingTrace, TraceFile } from './routing-trace.ts';
import type { Terminal } from './terminal.ts';

async function promptInput(values: OptionValues, terminal: Terminal): Promise<PromptInput> {
  const ids = values.text('prompt-ids');
  const messages = values.text('messages');
  const given = [values.words, values.text('prompt'), ids, messages].filter((value) => value !== undefined);
  if (given.length > 1) {
    throw new UsageError('More than one prompt · give one: words, --prompt, --prompt-ids or --messages');
  }
  if (ids !== undefined) return { promptIds: parseIds(ids) };
  if (messages !== undefined) return { messages: await readMessages(messages) };
  const prompt = given[0] ?? (terminal.piped === true ? await readPrompt(terminal.input) : '');
  if (prompt.trim() === '') {
    throw new UsageError(
      'No prompt · found neither words nor text from a pipe · give words, --prompt, --prompt-ids or --messages',
    );
  }
  return { messages: [{ role: 'user', content: prompt }] };
}

/** Writes the answer as it comes, and passes every event on. */
async function* print(events: AsyncIterable<GenerateEvent>, terminal: Terminal): AsyncGenerator<GenerateEvent> {
  const printer = new AnswerPrinter(terminal);
  for await (const event of events) {
    if (event.type === 'analysis' || event.type === 'content') printer.text(event);
    else if (event.type === 'tool-call-end') printer.call(event.call);
    else if (event.type === 'done' && printer.hasWritten) terminal.output.write('\n');
    yield event;
  }
}

async function* tap(events: AsyncIterable<GenerateEvent>, trace: RoutingTrace): AsyncGenerator<GenerateEvent> {
  for await (const event of events) {
    if (event.type === 'routing') trace.add(event);
    else yield event;
  }
}

export async function generateCommand(values: OptionValues, terminal: Terminal): Promise<void> {
  const traceFile = values.text('trace-routing');
  const request: GenerateRequest = {
    ...(await promptInput(values, terminal)),
    ...(await conversationOptions(values)),
    ...samplingOptions(values),
    traceRouting: traceFile !== undefined,
  };
  await using file = traceFile === undefined ? null : await TraceFile.create(traceFile);
  await using engine = await loadEngine(values.text('model'), engineOptions(values), terminal);
  const trace = new RoutingTrace();
  const events = tap(engine.generate(request), trace);
  const json = values.flag('json');
  const result = await collect(json ? events : print(events, terminal));
  await file?.write(trace.layers);
  if (!json) return;
  const { ids, text, analysis, final, toolCalls, finishReason, usage, timings } = result;
  const { router } = engine.model;
  terminal.output.write(
    `${JSON.stringify({ ids, text, analysis, final, toolCalls, finishReason, usage, timings, router })}\n`,
  );
}
