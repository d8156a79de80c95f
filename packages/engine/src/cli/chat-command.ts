/** `switchyard chat`. */
import { createInterface } from 'node:readline/promises';
import type { HarmonyMessage } from '@switchyard/models';
import { Engine } from '../engine.ts';
import { AbortedError } from '../errors.ts';
import type { OptionValues } from './parse-options.ts';
import { conversationOptions, engineOptions, samplingOptions } from './request-options.ts';
import { dim, type Terminal } from './terminal.ts';

export async function chatCommand(values: OptionValues, terminal: Terminal): Promise<void> {
  const conversation = await conversationOptions(values);
  const sampling = samplingOptions(values);
  await using engine = await Engine.load(values.text('model'), engineOptions(values));
  const messages: HarmonyMessage[] = [];
  const lines = createInterface({ input: terminal.input, output: terminal.output, terminal: terminal.color });
  let answering: AbortController | null = null;
  // Ctrl-C stops the answer; at the prompt it ends the chat.
  const interrupt = (): void => {
    if (answering === null) lines.close();
    else answering.abort();
  };
  lines.on('SIGINT', interrupt);
  process.on('SIGINT', interrupt);
  try {
    lines.setPrompt('> ');
    lines.prompt();
    for await (const line of lines) {
      if (line.trim() !== '') {
        messages.push({ role: 'user', content: line });
        answering = new AbortController();
        const answer = await printAnswer(
          engine,
          { ...conversation, ...sampling, messages, signal: answering.signal },
          terminal,
        );
        answering = null;
        messages.push({ role: 'assistant', content: answer });
      }
      lines.prompt();
    }
  } finally {
    process.off('SIGINT', interrupt);
    lines.close();
    terminal.output.write('\n');
  }
}

/** Streams one answer and returns its content, cut short where it was stopped. */
async function printAnswer(
  engine: Engine,
  request: Parameters<Engine['generate']>[0],
  terminal: Terminal,
): Promise<string> {
  let content = '';
  let last: string | null = null;
  try {
    for await (const event of engine.generate(request)) {
      if (event.type !== 'analysis' && event.type !== 'content') continue;
      if (last !== null && last !== event.type) terminal.output.write('\n');
      last = event.type;
      if (event.type === 'content') content += event.text;
      terminal.output.write(event.type === 'analysis' ? dim(terminal, event.text) : event.text);
    }
  } catch (error) {
    if (!(error instanceof AbortedError)) throw error;
    terminal.output.write(' [stopped]');
  }
  terminal.output.write('\n');
  return content;
}
