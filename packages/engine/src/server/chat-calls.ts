/**
 * Calls in the shape of chat completions: of functions as their JSON comes, of custom tools with their text whole.
 */

import type { ToolCallDeltaEvent, ToolCallEndEvent, ToolCallStartEvent } from '../events.ts';
import { freeTextOf } from './schemas/request-tools.ts';

/** A call in a message. */
export type ChatToolCall =
  | { readonly id: string; readonly type: 'function'; readonly function: { name: string; arguments: string } }
  | { readonly id: string; readonly type: 'custom'; readonly custom: { name: string; input: string } };

/** Shows the calls of one request's answers. */
export class ChatCalls {
  readonly #custom: ReadonlySet<string>;

  /** @param custom Names of custom tools. */
  constructor(custom: ReadonlySet<string>) {
    this.#custom = custom;
  }

  /** A call that is over. */
  whole({ id, name, arguments: args }: ToolCallEndEvent['call']): ChatToolCall {
    if (this.#custom.has(name)) return { id, type: 'custom', custom: { name, input: freeTextOf(args) } };
    return { id, type: 'function', function: { name, arguments: args } };
  }

  /** An event as the delta of a chunk; null where it has none. A custom call's text comes whole, with its end. */
  delta(event: ToolCallStartEvent | ToolCallDeltaEvent | ToolCallEndEvent): object | null {
    const { index } = event;
    switch (event.type) {
      case 'tool-call-start': {
        const { id, name } = event;
        if (this.#custom.has(name)) return null;
        return { tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] };
      }
      case 'tool-call-delta':
        return this.#custom.has(event.name) ? null : { tool_calls: [{ index, function: { arguments: event.text } }] };
      case 'tool-call-end':
        return this.#custom.has(event.call.name) ? { tool_calls: [{ index, ...this.whole(event.call) }] } : null;
      default:
        return event satisfies never;
    }
  }
}
