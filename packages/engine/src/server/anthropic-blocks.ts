/**
 * The content blocks of an answer to Anthropic's clients while the events of a generation arrive, and the stream events
 * that tell of them.
 */

import type { GenerateEvent } from '../events.ts';

/** A stream event. */
export interface MessageEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

interface ContentBlock {
  readonly type: 'thinking' | 'text' | 'tool_use';
  /** The message that it is made of; null for calls. */
  readonly message: number | null;
  /** Of a call. */
  readonly id: string;
  readonly name: string;
  text: string;
  /** Of a thought that is over. */
  signature: string;
}

/** The input of a call: an object, as Anthropic's clients expect, whatever the model wrote. */
function inputOf(args: string): object {
  try {
    const value: unknown = JSON.parse(args);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Cut short, or no JSON.
  }
  return {};
}

/** Turns generation events into content blocks, one for each message of the model. Feed it every event; `finish` closes what is open. */
export class AnthropicBlocks {
  readonly #sign: (thinking: string) => string;
  readonly #blocks: ContentBlock[] = [];
  #open: ContentBlock | null = null;

  /** @param sign Signs what the model thinks, for the client to send back. */
  constructor(sign: (thinking: string) => string) {
    this.#sign = sign;
  }

  /** The blocks, all of which `finish` has closed. */
  toJson(): object[] {
    return this.#blocks.map(({ type, id, name, text, signature }) => {
      if (type === 'thinking') return { type, thinking: text, signature };
      return type === 'text' ? { type, text, citations: null } : { type, id, name, input: inputOf(text) };
    });
  }

  /** Takes one event in and tells what to stream for it. */
  push(event: GenerateEvent): MessageEvent[] {
    switch (event.type) {
      case 'analysis':
        return this.#text('thinking', event);
      case 'content':
        return this.#text('text', event);
      case 'tool-call-start':
        return this.#start({ type: 'tool_use', message: null, id: event.id, name: event.name });
      case 'tool-call-delta':
        return this.#grow(event.text);
      case 'tool-call-end':
        return this.finish();
      case 'queued':
      case 'routing':
      case 'done':
        return [];
      default:
        return event satisfies never;
    }
  }

  /** Closes the open block. */
  finish(): MessageEvent[] {
    const block = this.#open;
    if (block === null) return [];
    this.#open = null;
    const index = this.#blocks.length - 1;
    const stop = { type: 'content_block_stop', index };
    if (block.type !== 'thinking') return [stop];
    block.signature = this.#sign(block.text);
    const delta = { type: 'signature_delta', signature: block.signature };
    return [{ type: 'content_block_delta', index, delta }, stop];
  }

  #text(
    type: 'thinking' | 'text',
    { text, message, separator }: GenerateEvent & { type: 'analysis' | 'content' },
  ): MessageEvent[] {
    const goesOn = this.#open?.type === type && this.#open.message === message;
    const opened = goesOn ? [] : this.#start({ type, message, id: '', name: '' });
    return [...opened, ...this.#grow(text.slice(separator?.length ?? 0))];
  }

  #grow(text: string): MessageEvent[] {
    const block = this.#open;
    if (block === null) return [];
    block.text += text;
    const deltas = {
      thinking: { type: 'thinking_delta', thinking: text },
      text: { type: 'text_delta', text },
      tool_use: { type: 'input_json_delta', partial_json: text },
    };
    return [{ type: 'content_block_delta', index: this.#blocks.length - 1, delta: deltas[block.type] }];
  }

  #start(head: Omit<ContentBlock, 'text' | 'signature'>): MessageEvent[] {
    const closed = this.finish();
    const block: ContentBlock = { ...head, text: '', signature: '' };
    this.#blocks.push(block);
    this.#open = block;
    const starts = {
      thinking: { type: 'thinking', thinking: '', signature: '' },
      text: { type: 'text', text: '', citations: null },
      tool_use: { type: 'tool_use', id: block.id, name: block.name, input: {} },
    };
    const index = this.#blocks.length - 1;
    return [...closed, { type: 'content_block_start', index, content_block: starts[block.type] }];
  }
}
