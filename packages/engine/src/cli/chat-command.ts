/** `switchyard chat`. */

import { createInterface } from 'node:readline/promises';
import type { HarmonyAssistantMessage, HarmonyToolCall } from '@switchyard/models';
import type { Engine } from '../engine.ts';
import { AbortedError, ContextLengthError, ForwardError } from '../errors.ts';
import type { GenerateRequest } from '../request.ts';
import { AnswerPrinter } from './answer-printer.ts';
import { type ChatState, runChatCommand } from './chat-commands.ts';
import { loadEngine } from './loading-line.ts';
import type { OptionValues } from './parse-options.ts';
import { conversationOptions, engineOptions, samplingOptions } from './request-options.ts';
import { dim, type Terminal } from './terminal.ts';

export async function chatCommand(values: OptionValues, terminal: Terminal): Promise<void> {
  const { reasoningEffort, ...conversation } = await conversationOptions(values);
  const options = { ...conversation, ...samplingOptions(values) };
  const state: ChatState = { messages: [], reasoningEffort, instructions: values.text('system') ?? '' };
  await using engine = await loadEngine(values.text('model'), engineOptions(values), terminal);
  const chat = new Chat(engine, state, options, terminal);
  const lines = createInterface({ input: terminal.input, output: terminal.output, terminal: terminal.color });
  // Ctrl-C stops the answer; at the prompt it ends the chat.
  const interrupt = (): void => {
    if (!chat.stop()) lines.close();
  };
  lines.on('SIGINT', interrupt);
  process.on('SIGINT', interrupt);
  const prompt = (): void => {
    lines.setPrompt(chat.prompt);
    lines.prompt();
  };
  try {
    prompt();
    for await (const line of lines) {
      await chat.say(line);
      prompt();
    }
  } finally {
    process.off('SIGINT', interrupt);
    lines.close();
    terminal.output.write('\n');
  }
}

/** What holds for every answer. */
type ChatOptions = Omit<GenerateRequest, 'messages' | 'prompt' | 'promptIds' | 'reasoningEffort'>;

/** A conversation, line by line. */
class Chat {
  readonly #engine: Engine;
  readonly #state: ChatState;
  readonly #options: ChatOptions;
  readonly #terminal: Terminal;
  /** Calls whose results are still to be given. */
  #calls: HarmonyToolCall[] = [];
  #answering: AbortController | null = null;

  constructor(engine: Engine, state: ChatState, options: ChatOptions, terminal: Terminal) {
    this.#engine = engine;
    this.#state = state;
    this.#options = options;
    this.#terminal = terminal;
  }

  /** What the next line is: a message, or the result of a call. */
  get prompt(): string {
    const [call] = this.#calls;
    return call === undefined ? '> ' : `result of ${call.name}> `;
  }

  /** Ends the answer in progress; false where there is none. */
  stop(): boolean {
    this.#answering?.abort();
    return this.#answering !== null;
  }

  /** Takes a line and prints the answer, once every call has its result. */
  async say(line: string): Promise<void> {
    const call = this.#calls.shift();
    if (call !== undefined) {
      this.#state.messages.push({ role: 'tool', name: call.name, toolCallId: call.id, content: line });
      if (this.#calls.length > 0) return;
    } else if (line.trim() === '') return;
    else {
      const told = await runChatCommand(this.#state, line);
      if (told !== null) {
        this.#terminal.output.write(`${dim(this.#terminal, told)}\n`);
        return;
      }
      this.#state.messages.push({ role: 'user', content: line.replace(/^\s*\/\//u, '/') });
    }
    try {
      await this.#answer();
    } catch (error) {
      if (!(error instanceof ContextLengthError || error instanceof ForwardError)) throw error;
      this.#state.messages = [];
      this.#calls = [];
      this.#terminal.error.write(`switchyard: ${error.message} [${error.code}]\nThe conversation starts anew.\n`);
    }
  }

  /** Streams one answer and keeps it, cut short where it was stopped. */
  async #answer(): Promise<void> {
    const { output } = this.#terminal;
    const { messages, reasoningEffort, instructions } = this.#state;
    this.#answering = new AbortController();
    const parts = { analysis: '', content: '' };
    const calls: HarmonyToolCall[] = [];
    const printer = new AnswerPrinter(this.#terminal);
    try {
      const request = {
        ...this.#options,
        ...(reasoningEffort !== undefined && { reasoningEffort }),
        messages: instructions === '' ? messages : [{ role: 'system' as const, content: instructions }, ...messages],
        signal: this.#answering.signal,
      };
      for await (const event of this.#engine.generate(request)) {
        if (event.type === 'analysis' || event.type === 'content') {
          parts[event.type] += event.text;
          printer.text(event);
        } else if (event.type === 'tool-call-end' && event.complete) {
          calls.push(event.call);
          printer.call(event.call);
        }
      }
    } catch (error) {
      if (!(error instanceof AbortedError)) throw error;
      calls.length = 0;
      output.write(' [stopped]');
    } finally {
      this.#answering = null;
    }
    output.write('\n');
    this.#calls = [...calls];
    messages.push(assistantMessage(parts, calls));
  }
}

function assistantMessage(
  { analysis, content }: { readonly analysis: string; readonly content: string },
  toolCalls: readonly HarmonyToolCall[],
): HarmonyAssistantMessage {
  return {
    role: 'assistant',
    ...(analysis === '' ? {} : { analysis }),
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
    ...(content === '' && toolCalls.length > 0 ? {} : { content }),
  };
}
