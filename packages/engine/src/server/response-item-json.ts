/**
 * Output items of a response, and how the API shows them.
 */

import type { SampledTokenLogprob } from '../events.ts';
import { logprobsJson } from './logprobs-json.ts';

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

/** What the model thinks before it goes on. */
export interface ReasoningItem {
  readonly type: 'reasoning';
  readonly id: string;
  text: string;
  /** Whether the client asked for a summary: the text is shown as one, beside the text itself. */
  readonly summarized: boolean;
  /** The text, sealed for clients that keep the conversation themselves; null where none asked for it, or not yet. */
  sealed: string | null;
  status: ItemStatus;
}

/** Words for the user. */
export interface MessageItem {
  readonly type: 'message';
  readonly id: string;
  /** `commentary` for what is said before tool calls. */
  readonly phase: 'commentary' | 'final_answer';
  text: string;
  readonly logprobs: SampledTokenLogprob[];
  status: ItemStatus;
}

/** A call: `text` is the arguments' JSON of a function, or the free text that a custom tool gets. */
export interface CallItem {
  readonly type: 'function_call' | 'custom_tool_call';
  readonly id: string;
  readonly callId: string;
  readonly name: string;
  /** The namespace that the tool was declared in, or null. */
  readonly namespace: string | null;
  text: string;
  status: ItemStatus;
}

export type OutputItem = ReasoningItem | MessageItem | CallItem;

/** The one part of a message. */
export function textPart(text: string, logprobs: readonly SampledTokenLogprob[]): object {
  return { type: 'output_text', text, annotations: [], logprobs: logprobsJson(logprobs) };
}

/** The one part of a reasoning item's content. */
export function reasoningPart(text: string): object {
  return { type: 'reasoning_text', text };
}

/** The one part of a reasoning item's summary. */
export function summaryPart(text: string): object {
  return { type: 'summary_text', text };
}

/** An item as the API shows it; `empty` leaves the text out, for `output_item.added`. */
export function itemJson(item: OutputItem, empty = false): object {
  const text = empty ? '' : item.text;
  const { type, id, status } = item;
  switch (item.type) {
    case 'reasoning':
      return {
        type,
        id,
        summary: text === '' || !item.summarized ? [] : [summaryPart(text)],
        content: text === '' ? [] : [reasoningPart(text)],
        ...(item.sealed === null ? {} : { encrypted_content: item.sealed }),
        status,
      };
    case 'message':
      return {
        type,
        id,
        role: 'assistant',
        status,
        phase: item.phase,
        content: empty ? [] : [textPart(text, item.logprobs)],
      };
    case 'function_call':
    case 'custom_tool_call':
      return {
        type,
        id,
        call_id: item.callId,
        name: item.name,
        ...(item.namespace === null ? {} : { namespace: item.namespace }),
        ...(item.type === 'function_call' ? { arguments: text } : { input: text }),
        status,
      };
    default:
      return item satisfies never;
  }
}
