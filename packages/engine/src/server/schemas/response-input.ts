/**
 * The items that a response's input is made of, and the conversation that they are.
 */

import type { HarmonyAssistantMessage, HarmonyMessage, HarmonyToolCall } from '@switchyard/models';
import { z } from 'zod';
import { badRequest } from '../errors/openai-error.ts';
import { assistantContent, content, plainText } from './content.ts';
import { listOf, upTo } from './first-fault.ts';
import { argumentsOf } from './request-tools.ts';
import { responsesTool } from './responses-tools.ts';
import { MAX_TOOLS, toolName } from './tools.ts';

const id = z.string().nullish();
const textParts = listOf(z.object({ type: z.string().optional(), text: z.string() }));

const messageItem = z.object({
  type: z.literal('message').optional(),
  id,
  role: z.enum(['system', 'developer', 'user']),
  content,
});
const assistantItem = z.object({
  type: z.literal('message').optional(),
  id,
  role: z.literal('assistant'),
  phase: z.enum(['commentary', 'final_answer']).nullish(),
  content: assistantContent,
});
const callNames = { id, call_id: z.string(), name: toolName, namespace: z.string().nullish() };
const functionCallItem = z.object({ type: z.literal('function_call'), ...callNames, arguments: z.string() });
const customCallItem = z.object({ type: z.literal('custom_tool_call'), ...callNames, input: z.string() });
const outputItem = z.object({
  type: z.enum(['function_call_output', 'custom_tool_call_output']),
  id,
  call_id: z.string(),
  output: content,
});
const reasoningItem = z.object({
  type: z.literal('reasoning'),
  id,
  summary: textParts.nullish(),
  content: textParts.nullish(),
  encrypted_content: z.string().nullish(),
});
/** What hosted tools did: the model here never asked for it. */
const hostedItem = z.object({
  type: z.enum([
    'web_search_call',
    'file_search_call',
    'code_interpreter_call',
    'image_generation_call',
    'mcp_list_tools',
  ]),
  id,
});
/** Tools that come with the conversation, as Codex sends them. */
const additionalToolsItem = z.object({
  type: z.literal('additional_tools'),
  id,
  tools: upTo(MAX_TOOLS, responsesTool),
});
const referenceItem = z.object({ type: z.literal('item_reference'), id: z.string() });

/** An item with everything that the conversation needs. */
export const inputItem = z.union([
  messageItem,
  assistantItem,
  functionCallItem,
  customCallItem,
  outputItem,
  reasoningItem,
  hostedItem,
  additionalToolsItem,
]);

export type InputItem = z.output<typeof inputItem>;

/** An item that is an id and nothing else is a reference, as OpenAI reads it. */
function withType(item: unknown): unknown {
  if (typeof item !== 'object' || item === null || !('id' in item)) return item;
  const others = Object.entries(item).filter(([name, value]) => name !== 'id' && !(name === 'type' && value === null));
  return others.length === 0 ? { type: 'item_reference', id: item.id } : item;
}

/** An item of a request: whole, or the id of one that the server has kept. */
export const requestItem = z.preprocess(withType, z.union([...inputItem.options, referenceItem]));

export type RequestItem = z.output<typeof requestItem>;

/** What reading items takes from elsewhere. */
export interface ItemReader {
  /** The text of reasoning that was sealed; null where it cannot be read. */
  open(sealed: string): string | null;
  /** The name that the model knows a tool by. */
  modelName(name: string, namespace: string | null | undefined): string;
  /** What a request calls an item by its place. */
  place(index: number): string;
}

/** Reasoning, words and calls of one assistant step arrive as separate items: this puts them together again. */
class AssistantStep {
  #analysis = '';
  readonly #preambles: string[] = [];
  #content = '';
  readonly #calls: HarmonyToolCall[] = [];

  /** Whether it has got past its reasoning and preambles: another message or reasoning begins the next step. */
  get hasSpoken(): boolean {
    return this.#content !== '' || this.#calls.length > 0;
  }

  get hasPreamble(): boolean {
    return this.#preambles.length > 0;
  }

  reasoning(text: string): void {
    this.#analysis += this.#analysis === '' || text === '' ? text : `\n${text}`;
  }
  preamble(text: string): void {
    this.#preambles.push(text);
  }
  message(text: string): void {
    this.#content += text;
  }
  call(call: HarmonyToolCall): void {
    this.#calls.push(call);
  }

  /** The step as a message; empty where it says nothing. Reasoning alone is nothing once its turn is over. */
  end(): HarmonyAssistantMessage[] {
    if (!this.hasSpoken && !this.hasPreamble) return [];
    return [
      {
        role: 'assistant',
        ...(this.#analysis !== '' ? { analysis: this.#analysis } : {}),
        ...(this.hasPreamble ? { preamble: this.#preambles.join('\n') } : {}),
        ...(this.#calls.length > 0 ? { toolCalls: this.#calls } : {}),
        ...(this.#content !== '' ? { content: this.#content } : {}),
      },
    ];
  }
}

/** The items as harmony's messages. @throws OpenAiError 400 for results without calls and reasoning that cannot be read */
export function itemsToMessages(items: readonly InputItem[], reader: ItemReader): HarmonyMessage[] {
  const messages: HarmonyMessage[] = [];
  const calls = new Set<string>();
  let step = new AssistantStep();
  const endStep = (): void => {
    messages.push(...step.end());
    step = new AssistantStep();
  };
  for (const [index, item] of items.entries()) {
    switch (item.type) {
      case 'reasoning':
        if (step.hasSpoken || step.hasPreamble) endStep();
        step.reasoning(reasoningText(item, index, reader));
        break;
      case 'function_call':
      case 'custom_tool_call':
        calls.add(item.call_id);
        step.call({
          id: item.call_id,
          name: reader.modelName(item.name, item.namespace),
          arguments: item.type === 'function_call' ? item.arguments : argumentsOf(item.input),
        });
        break;
      case 'function_call_output':
      case 'custom_tool_call_output':
        endStep();
        if (!calls.has(item.call_id)) {
          throw badRequest(
            `${reader.place(index)}.call_id`,
            `The tool result belongs to no call · found the id ${JSON.stringify(item.call_id)} · put its call before it`,
          );
        }
        messages.push({ role: 'tool', toolCallId: item.call_id, content: plainText(item.output) });
        break;
      case 'message':
      case undefined:
        if (item.role !== 'assistant') {
          endStep();
          messages.push({ role: item.role, content: plainText(item.content) });
          break;
        }
        // Not over yet: what it says before its calls belongs to them.
        if (step.hasSpoken) endStep();
        if (item.phase === 'commentary') step.preamble(plainText(item.content));
        else step.message(plainText(item.content));
        break;
      case 'web_search_call':
      case 'file_search_call':
      case 'code_interpreter_call':
      case 'image_generation_call':
      case 'mcp_list_tools':
      case 'additional_tools':
        break;
      default:
        item satisfies never;
    }
  }
  endStep();
  return messages;
}

function reasoningText(item: z.output<typeof reasoningItem>, index: number, reader: ItemReader): string {
  const sealed = item.encrypted_content;
  const opened = sealed == null ? null : reader.open(sealed);
  if (opened !== null) return opened;
  const parts = item.content != null && item.content.length > 0 ? item.content : (item.summary ?? []);
  if (sealed != null && parts.length === 0) {
    throw badRequest(
      `${reader.place(index)}.encrypted_content`,
      'The encrypted content could not be verified · this server did not make it, or was started again since · leave the item out',
      'invalid_encrypted_content',
    );
  }
  return parts.map((part) => part.text).join('');
}
