/**
 * The output items of a response while the events of a generation arrive, and the stream events that tell of them.
 */

import type { GenerateEvent } from '../events.ts';
import {
  type CallItem,
  itemJson,
  type ItemStatus,
  type OutputItem,
  reasoningPart,
  summaryPart,
  textPart,
} from './response-item-json.ts';
import { logprobsJson } from './logprobs-json.ts';
import { freeTextOf, type RequestTools } from './schemas/request-tools.ts';
import { newId } from './serving.ts';

/** A stream event, without its sequence number. */
export interface ResponseEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** What a request says of its items. */
export interface ItemOptions {
  readonly tools: RequestTools;
  /** Whether reasoning items have a summary. */
  readonly summarized: boolean;
  /** Seals the text of reasoning items; null where nobody asked for it. */
  readonly seal: ((text: string) => string) | null;
}

/** Turns generation events into output items, one for each message of the model. Feed it every event; `finish` closes what is open. */
export class ResponseItems {
  readonly #options: ItemOptions;
  readonly #items: OutputItem[] = [];
  #open: OutputItem | null = null;
  /** The message that the open item is made of; null for calls. */
  #message: number | null = null;

  constructor(options: ItemOptions) {
    this.#options = options;
  }

  /** The items so far. */
  toJson(): object[] {
    return this.#items.map((item) => itemJson(item));
  }

  /** The text of all messages. */
  get outputText(): string {
    return this.#items.map((item) => (item.type === 'message' ? item.text : '')).join('');
  }

  /** Takes one event in and tells what to stream for it. */
  push(event: GenerateEvent): ResponseEvent[] {
    switch (event.type) {
      case 'analysis':
        return this.#reasoning(event);
      case 'content':
        return this.#text(event);
      case 'tool-call-start':
        this.#message = null;
        return this.#start(this.#callItem(event.id, event.name));
      case 'tool-call-delta':
        return this.#argumentsDelta(event.text);
      case 'tool-call-end':
        return this.finish(event.complete ? 'completed' : 'incomplete');
      case 'queued':
      case 'routing':
      case 'done':
        return [];
      default:
        return event satisfies never;
    }
  }

  /** Closes the open item; `'incomplete'` where the answer was cut within it. */
  finish(status: Exclude<ItemStatus, 'in_progress'> = 'completed'): ResponseEvent[] {
    const item = this.#open;
    if (item === null) return [];
    this.#open = null;
    item.status = status;
    const place = this.#place(item);
    const itemDone = (): ResponseEvent => ({
      type: 'response.output_item.done',
      output_index: place.output_index,
      item: itemJson(item),
    });
    switch (item.type) {
      case 'reasoning': {
        item.sealed = this.#options.seal?.(item.text) ?? null;
        const { text } = item;
        const summary = { ...place, summary_index: 0 };
        return [
          { type: 'response.reasoning_text.done', ...place, content_index: 0, text },
          { type: 'response.content_part.done', ...place, content_index: 0, part: reasoningPart(text) },
          ...(item.summarized
            ? [
                { type: 'response.reasoning_summary_text.done', ...summary, text },
                { type: 'response.reasoning_summary_part.done', ...summary, part: summaryPart(text) },
              ]
            : []),
          itemDone(),
        ];
      }
      case 'message': {
        const { text, logprobs } = item;
        const part = { ...place, content_index: 0 };
        return [
          { type: 'response.output_text.done', ...part, text, logprobs: logprobsJson(logprobs) },
          { type: 'response.content_part.done', ...part, part: textPart(text, logprobs) },
          itemDone(),
        ];
      }
      case 'function_call':
        return [
          { type: 'response.function_call_arguments.done', ...place, name: item.name, arguments: item.text },
          itemDone(),
        ];
      case 'custom_tool_call':
        // Free text comes out of the JSON that the model writes only when it is whole.
        item.text = freeTextOf(item.text);
        return [
          { type: 'response.custom_tool_call_input.delta', ...place, delta: item.text },
          { type: 'response.custom_tool_call_input.done', ...place, input: item.text },
          itemDone(),
        ];
      default:
        return item satisfies never;
    }
  }

  #reasoning({ text, message, separator }: GenerateEvent & { type: 'analysis' }): ResponseEvent[] {
    const { summarized } = this.#options;
    const opened = this.#continues('reasoning', message)
      ? []
      : this.#start({ type: 'reasoning', id: newId('rs_'), text: '', summarized, sealed: null, status: 'in_progress' });
    this.#message = message;
    const item = this.#open;
    if (item === null) return opened;
    const delta = text.slice(separator?.length ?? 0);
    item.text += delta;
    const place = this.#place(item);
    return [
      ...opened,
      { type: 'response.reasoning_text.delta', ...place, content_index: 0, delta },
      ...(summarized ? [{ type: 'response.reasoning_summary_text.delta', ...place, summary_index: 0, delta }] : []),
    ];
  }

  #text(event: GenerateEvent & { type: 'content' }): ResponseEvent[] {
    const { text, message, separator, channel, logprobs = [] } = event;
    const phase = channel === 'final' ? 'final_answer' : 'commentary';
    const opened = this.#continues('message', message)
      ? []
      : this.#start({ type: 'message', id: newId('msg_'), phase, text: '', logprobs: [], status: 'in_progress' });
    this.#message = message;
    const item = this.#open;
    if (item?.type !== 'message') return opened;
    const delta = text.slice(separator?.length ?? 0);
    item.text += delta;
    item.logprobs.push(...logprobs);
    return [
      ...opened,
      {
        type: 'response.output_text.delta',
        ...this.#place(item),
        content_index: 0,
        delta,
        logprobs: logprobsJson(logprobs),
      },
    ];
  }

  #argumentsDelta(delta: string): ResponseEvent[] {
    const item = this.#open;
    if (item?.type !== 'function_call' && item?.type !== 'custom_tool_call') return [];
    item.text += delta;
    if (item.type === 'custom_tool_call') return [];
    return [{ type: 'response.function_call_arguments.delta', ...this.#place(item), delta }];
  }

  #callItem(callId: string, harmonyName: string): CallItem {
    const { custom, namespaced } = this.#options.tools;
    const { namespace, name } = namespaced.get(harmonyName) ?? { namespace: null, name: harmonyName };
    const isCustom = custom.has(harmonyName);
    return {
      type: isCustom ? 'custom_tool_call' : 'function_call',
      id: newId(isCustom ? 'ctc_' : 'fc_'),
      callId,
      name,
      namespace,
      text: '',
      status: 'in_progress',
    };
  }

  #continues(type: OutputItem['type'], message: number): boolean {
    return this.#open?.type === type && this.#message === message;
  }

  /** Of the latest item: no other is ever told of. */
  #place({ id }: OutputItem): { item_id: string; output_index: number } {
    return { item_id: id, output_index: this.#items.length - 1 };
  }

  #start(item: OutputItem): ResponseEvent[] {
    const events = this.finish();
    this.#items.push(item);
    this.#open = item;
    const place = this.#place(item);
    events.push({ type: 'response.output_item.added', output_index: place.output_index, item: itemJson(item, true) });
    if (item.type === 'message' || item.type === 'reasoning') {
      const part = item.type === 'message' ? textPart('', []) : reasoningPart('');
      events.push({ type: 'response.content_part.added', ...place, content_index: 0, part });
    }
    if (item.type === 'reasoning' && item.summarized) {
      events.push({ type: 'response.reasoning_summary_part.added', ...place, summary_index: 0, part: summaryPart('') });
    }
    return events;
  }
}
