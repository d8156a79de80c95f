import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { HarmonyParser } from './parse.ts';
import type { HarmonyParserOptions, ParsedHarmonyMessage } from './parser-events.ts';
import type { HarmonyAnswer, HarmonyMessage, HarmonyToolCall } from './types.ts';

/** Reads a whole answer: the ids behind a generation prompt. Options and errors are HarmonyParser's. */
export function parseAnswer(
  ids: Iterable<number>,
  tokenizer: Tokenizer,
  options: Omit<HarmonyParserOptions, 'role'> = {},
): HarmonyAnswer {
  const parser = new HarmonyParser(tokenizer, { ...options, role: 'assistant' });
  for (const id of ids) parser.push(id);
  parser.finish();
  return parser.answer();
}

/** Reads every message of a rendered prompt or training text. Options and errors are HarmonyParser's; `role` is null by default. */
export function parseMessages(
  ids: Iterable<number>,
  tokenizer: Tokenizer,
  options: HarmonyParserOptions = {},
): readonly ParsedHarmonyMessage[] {
  const parser = new HarmonyParser(tokenizer, { role: null, ...options });
  for (const id of ids) parser.push(id);
  parser.finish();
  return parser.messages;
}

/**
 * Puts parsed messages together to a conversation's: what renderConversation would make of the result are the same
 * messages again. System and developer messages keep their whole text (harmony's own system message is one of them), and
 * results are tied to the earliest open call of their tool.
 */
export function toConversationMessages(parsed: readonly ParsedHarmonyMessage[]): HarmonyMessage[] {
  const messages: HarmonyMessage[] = [];
  let step = new AssistantStep();
  const openCalls: HarmonyToolCall[] = [];
  const closeStep = (): void => {
    const message = step.message();
    if (message !== null) messages.push(message);
    step = new AssistantStep();
  };
  for (const message of parsed) {
    if (message.kind !== 'prompt') {
      if (step.isOverBefore(message)) closeStep();
      const call = step.add(message);
      if (call !== null) openCalls.push(call);
      continue;
    }
    closeStep();
    const { role, toolName } = message.header;
    if (role === 'tool') {
      const index = openCalls.findIndex((call) => call.name === toolName);
      const [call] = index === -1 ? [] : openCalls.splice(index, 1);
      messages.push({
        role,
        ...(toolName === null ? {} : { name: toolName }),
        ...(call === undefined ? {} : { toolCallId: call.id }),
        content: message.content,
      });
    } else if (role !== 'assistant') {
      messages.push({ role, content: message.content });
    }
  }
  closeStep();
  return messages;
}

/** The messages between two of the prompt's, in the order analysis, preamble, calls, final. */
class AssistantStep {
  readonly #analysis: string[] = [];
  readonly #preambles: string[] = [];
  readonly #calls: HarmonyToolCall[] = [];
  #final: string | null = null;

  /** Whether a message cannot be part of this step, because the step has come further already. */
  isOverBefore({ kind }: ParsedHarmonyMessage): boolean {
    if (this.#final !== null) return true;
    if (kind === 'analysis') return this.#preambles.length > 0 || this.#calls.length > 0;
    if (kind === 'preamble') return this.#calls.length > 0;
    return kind === 'final' && this.#calls.length > 0;
  }

  /** Returns the call, if the message was one. */
  add({ kind, header, callId, content }: ParsedHarmonyMessage): HarmonyToolCall | null {
    if (kind === 'analysis') this.#analysis.push(content);
    else if (kind === 'preamble') this.#preambles.push(content);
    else if (kind === 'final') this.#final = content;
    else if (kind === 'tool-call' && header.recipient !== null && callId !== null) {
      const call = { id: callId, name: header.recipient, arguments: content };
      this.#calls.push(call);
      return call;
    }
    return null;
  }

  message(): HarmonyMessage | null {
    const message = {
      role: 'assistant' as const,
      ...(this.#analysis.length > 0 ? { analysis: this.#analysis.join('\n') } : {}),
      ...(this.#preambles.length > 0 ? { preamble: this.#preambles.join('\n') } : {}),
      ...(this.#calls.length > 0 ? { toolCalls: this.#calls } : {}),
      ...(this.#final === null ? {} : { content: this.#final }),
    };
    return Object.keys(message).length > 1 ? message : null;
  }
}
