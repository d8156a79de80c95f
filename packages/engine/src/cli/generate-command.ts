/** `switchyard generate`. */

import { collect } from '../answer/collect.ts';
import type { GenerateEvent } from '../events.ts';
import type { GenerateRequest, PromptInput } from '../request.ts';
import { parseIds, readMessages, readPrompt } from './input-files.ts';
import { loadEngine } from './loading-line.ts';
import { type OptionValues, UsageError } from './parse-options.ts';
import { conversationOptions, engineOptions, samplingOptions } from './request-options.ts';
import { RoutingTrace, TraceFile } from './routing-trace.ts';
import { dim, type Terminal } from './terminal.ts';

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

/** Writes text as it comes, the analysis dimmed, and passes every event on. */
async function* print(events: AsyncIterable<GenerateEvent>, terminal: Terminal): AsyncGenerator<GenerateEvent> {
  let last: GenerateEvent['type'] | null = null;
  for await (const event of events) {
    if (event.type === 'analysis' || event.type === 'content') {
      if (last !== null && last !== event.type) terminal.output.write('\n');
      const text = last === event.type ? event.text : event.text.slice(event.separator?.length ?? 0);
      terminal.output.write(event.type === 'analysis' ? dim(terminal, text) : text);
      last = event.type;
    } else if (event.type === 'tool-call-end') {
      if (last !== null) terminal.output.write('\n');
      terminal.output.write(`${event.call.name}(${event.call.arguments})`);
      last = event.type;
    } else if (event.type === 'done' && last !== null) terminal.output.write('\n');
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
