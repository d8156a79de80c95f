/** `switchyard chat`. */
import { createInterface } from 'node:readline/promises';
import type { HarmonyAssistantMessage, HarmonyMessage, HarmonyToolCall } from '@switchyard/models';
import type { Engine } from '../engine.ts';
import { AbortedError, ContextLengthError, ForwardError } from '../errors.ts';
import type { GenerateRequest } from '../request.ts';
import { loadEngine } from './loading-line.ts';
import type { OptionValues } from './parse-options.ts';
import { conversationOptions, engineOptions, samplingOptions } from './request-options.ts';
import { dim, type Terminal } from './terminal.ts';

export async function chatCommand(values: OptionValues, terminal: Terminal): Promise<void> {
  const options = { ...(await conversationOptions(values)), ...samplingOptions(values) };
  await using engine = await loadEngine(values.text('model'), engineOptions(values), terminal);
  const chat = new Chat(engine, options, terminal);
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

/** A conversation, line by line. */
class Chat {
  readonly #engine: Engine;
  readonly #options: Omit<GenerateRequest, 'messages' | 'prompt' | 'promptIds'>;
  readonly #terminal: Terminal;
  readonly #messages: HarmonyMessage[] = [];
  /** Calls whose results are still to be given. */
  #calls: HarmonyToolCall[] = [];
  #answering: AbortController | null = null;

  constructor(engine: Engine, options: Omit<GenerateRequest, 'messages' | 'prompt' | 'promptIds'>, terminal: Terminal) {
    this.#engine = engine;
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
      this.#messages.push({ role: 'tool', name: call.name, toolCallId: call.id, content: line });
      if (this.#calls.length > 0) return;
    } else if (line.trim() === '') return;
    else this.#messages.push({ role: 'user', content: line });
    try {
      await this.#answer();
    } catch (error) {
      if (!(error instanceof ContextLengthError || error instanceof ForwardError)) throw error;
      this.#messages.length = 0;
      this.#calls = [];
      this.#terminal.error.write(`switchyard: ${error.message} [${error.code}]\nThe conversation starts anew.\n`);
    }
  }

  /** Streams one answer and keeps it, cut short where it was stopped. */
  async #answer(): Promise<void> {
    const { output } = this.#terminal;
    this.#answering = new AbortController();
    const parts = { analysis: '', content: '' };
    const calls: HarmonyToolCall[] = [];
    let last: string | null = null;
    /** Returns whether the part goes on: another one begins on a new line. */
    const begin = (part: string): boolean => {
      const goesOn = last === part;
      if (last !== null && !goesOn) output.write('\n');
      last = part;
      return goesOn;
    };
    try {
      const request = { ...this.#options, messages: this.#messages, signal: this.#answering.signal };
      for await (const event of this.#engine.generate(request)) {
        if (event.type === 'analysis' || event.type === 'content') {
          const text = begin(event.type) ? event.text : event.text.slice(event.separator?.length ?? 0);
          parts[event.type] += event.text;
          output.write(event.type === 'analysis' ? dim(this.#terminal, text) : text);
        } else if (event.type === 'tool-call-end' && event.complete) {
          begin(event.call.id);
          calls.push(event.call);
          output.write(`${event.call.name}(${event.call.arguments})`);
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
    this.#messages.push(assistantMessage(parts, calls));
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
