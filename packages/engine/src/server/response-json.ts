/**
 * A response as the API shows it.
 */

import type { DoneEvent } from '../events.ts';
import type { ResponsesRequest } from './schemas/responses.ts';

export type ResponseStatus = 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled';

/** What every state of one response has in common. */
export interface ResponseHead {
  readonly id: string;
  readonly createdAt: number;
  readonly body: ResponsesRequest;
  readonly model: string;
}

function usage(done: DoneEvent): object {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = done.usage;
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
  };
}

/** The output so far. */
export interface ResponseOutput {
  readonly outputText: string;
  toJson(): object[];
}

/** The response in one of its states. */
export function responseJson(
  head: ResponseHead,
  status: ResponseStatus,
  items: ResponseOutput,
  done: DoneEvent | null,
  error: object | null = null,
): object {
  const { body } = head;
  return {
    id: head.id,
    object: 'response',
    created_at: head.createdAt,
    status,
    background: body.background ?? false,
    error,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    metadata: body.metadata ?? {},
    model: head.model,
    output: items.toJson(),
    output_text: items.outputText,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    reasoning: { effort: body.reasoning?.effort ?? 'medium', summary: body.reasoning?.summary ?? null },
    store: body.store ?? true,
    temperature: body.temperature ?? 1,
    text: { format: body.text?.format ?? { type: 'text' } },
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_p: body.top_p ?? 1,
    truncation: 'disabled',
    usage: done === null ? null : usage(done),
  };
}

/** The state that an answer ends in; without a last event it has failed. */
export const statusOf = (done: DoneEvent | null): ResponseStatus =>
  done === null ? 'failed' : done.finishReason === 'length' ? 'incomplete' : 'completed';

/** The state of the item that was open at the end. */
export const itemStatusOf = (status: ResponseStatus): 'completed' | 'incomplete' =>
  status === 'completed' ? status : 'incomplete';
