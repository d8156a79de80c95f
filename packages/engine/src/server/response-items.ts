/**
 * The output items of a response while the events of a generation arrive, and the stream events that tell of them.
 *
 * @module
 */
import type { GenerateEvent, SampledTokenLogprob } from '../events.ts';
import { newId } from './serving.ts';

/** A stream event, without its sequence number. */
export interface ResponseEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

type OutputItem =
  | { readonly type: 'reasoning'; readonly id: string; text: string; status: ItemStatus }
  | {
      readonly type: 'message';
      readonly id: string;
      text: string;
      readonly logprobs: SampledTokenLogprob[];
      status: ItemStatus;
    }
  | {
      readonly type: 'function_call';
      readonly id: string;
      readonly callId: string;
      readonly name: string;
      text: string;
      status: ItemStatus;
    };

function openAiLogprobs(tokens: readonly SampledTokenLogprob[]): object[] {
  return tokens.map(({ token, logprob, bytes, top }) => ({
    token,
    logprob,
    bytes,
    top_logprobs: top.map((rival) => ({ token: rival.token, logprob: rival.logprob, bytes: rival.bytes })),
  }));
}

function reasoningPart(text: string): object {
  return { type: 'reasoning_text', text };
}

function textPart(text: string, logprobs: readonly SampledTokenLogprob[]): object {
  return { type: 'output_text', text, annotations: [], logprobs: openAiLogprobs(logprobs) };
}

/** An item as the API shows it; `empty` leaves the text out, for `output_item.added`. */
function toJson(item: OutputItem, empty = false): object {
  const text = empty ? '' : item.text;
  switch (item.type) {
    case 'reasoning':
      return {
        type: item.type,
        id: item.id,
        summary: [],
        content: text === '' ? [] : [reasoningPart(text)],
        status: item.status,
      };
    case 'message':
      return {
        type: item.type,
        id: item.id,
        role: 'assistant',
        status: item.status,
        content: empty ? [] : [textPart(text, item.logprobs)],
      };
    case 'function_call':
      return {
        type: item.type,
        id: item.id,
        call_id: item.callId,
        name: item.name,
        arguments: text,
        status: item.status,
      };
    default:
      return item satisfies never;
  }
}

/** Turns generation events into output items. Feed it every event; `finish` closes what is open. */
export class ResponseItems {
  readonly #items: OutputItem[] = [];
  #open: OutputItem | null = null;

  /** The items so far. */
  toJson(): object[] {
    return this.#items.map((item) => toJson(item));
  }

  /** The text of all messages. */
  get outputText(): string {
    return this.#items.map((item) => (item.type === 'message' ? item.text : '')).join('');
  }

  /** Takes one event in and tells what to stream for it. */
  push(event: GenerateEvent): ResponseEvent[] {
    switch (event.type) {
      case 'analysis': {
        const { opened, item } = this.#continue('reasoning');
        item.text += event.text;
        return [
          ...opened,
          { type: 'response.reasoning_text.delta', ...this.#place(item), content_index: 0, delta: event.text },
        ];
      }
      case 'content': {
        const { opened, item } = this.#continue('message');
        item.text += event.text;
        if (item.type === 'message') item.logprobs.push(...(event.logprobs ?? []));
        return [
          ...opened,
          {
            type: 'response.output_text.delta',
            ...this.#place(item),
            content_index: 0,
            delta: event.text,
            logprobs: openAiLogprobs(event.logprobs ?? []),
          },
        ];
      }
      case 'tool-call-start':
        return this.#start({
          type: 'function_call',
          id: newId('fc_'),
          callId: event.id,
          name: event.name,
          text: '',
          status: 'in_progress',
        });
      case 'tool-call-delta': {
        const item = this.#open;
        if (item?.type !== 'function_call') return [];
        item.text += event.text;
        return [{ type: 'response.function_call_arguments.delta', ...this.#place(item), delta: event.text }];
      }
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
    const done: ResponseEvent[] = [];
    if (item.type === 'reasoning') {
      done.push({ type: 'response.reasoning_text.done', ...place, content_index: 0, text: item.text });
      done.push({
        type: 'response.content_part.done',
        ...place,
        content_index: 0,
        part: reasoningPart(item.text),
      });
    } else if (item.type === 'message') {
      const logprobs = openAiLogprobs(item.logprobs);
      done.push({ type: 'response.output_text.done', ...place, content_index: 0, text: item.text, logprobs });
      done.push({
        type: 'response.content_part.done',
        ...place,
        content_index: 0,
        part: textPart(item.text, item.logprobs),
      });
    } else {
      done.push({ type: 'response.function_call_arguments.done', ...place, name: item.name, arguments: item.text });
    }
    done.push({ type: 'response.output_item.done', output_index: place.output_index, item: toJson(item) });
    return done;
  }

  #place(item: OutputItem): { item_id: string; output_index: number } {
    return { item_id: item.id, output_index: this.#items.indexOf(item) };
  }

  /** The open item if it is of this type, or a new one. */
  #continue(type: 'reasoning' | 'message'): { opened: ResponseEvent[]; item: OutputItem } {
    if (this.#open?.type === type) return { opened: [], item: this.#open };
    const item: OutputItem =
      type === 'reasoning'
        ? { type, id: newId('rs_'), text: '', status: 'in_progress' }
        : { type, id: newId('msg_'), text: '', logprobs: [], status: 'in_progress' };
    return { opened: this.#start(item), item };
  }

  #start(item: OutputItem): ResponseEvent[] {
    const events = this.finish();
    this.#items.push(item);
    this.#open = item;
    const place = this.#place(item);
    events.push({ type: 'response.output_item.added', output_index: place.output_index, item: toJson(item, true) });
    if (item.type !== 'function_call') {
      const part = item.type === 'message' ? textPart('', []) : reasoningPart('');
      events.push({ type: 'response.content_part.added', ...place, content_index: 0, part });
    }
    return events;
  }
}
