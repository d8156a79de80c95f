/**
 * The conversation that a response's input stands for: earlier responses and items by their ids put in their places.
 */

import { OpenAiError } from './errors/openai-error.ts';
import type { ResponseStore, StoredItem } from './response-store.ts';
import { type InputItem, inputItem, type RequestItem } from './schemas/response-input.ts';
import type { ResponsesRequest } from './schemas/responses.ts';
import { newId } from './serving.ts';

/** A request's whole conversation. */
export interface ResponseContext {
  readonly items: readonly InputItem[];
  /** How many of the items come from the previous response. */
  readonly earlier: number;
  /** The same items as the API shows them, each with an id. */
  readonly stored: readonly StoredItem[];
}

const INVALID_REQUEST = 'invalid_request_error';

/** A response that is not kept. */
export function responseNotFound(id: string): OpenAiError {
  return new OpenAiError(404, `Response with id '${id}' not found. It was not stored, or newer ones took its place.`, {
    type: INVALID_REQUEST,
    code: 'response_not_found',
  });
}

/** @throws OpenAiError 400 for a previous response that is not kept or not over, 404 for an item that is not kept */
export function resolveInput(body: ResponsesRequest, store: ResponseStore): ResponseContext {
  const previous = previousItems(body.previous_response_id, store);
  const own: readonly RequestItem[] =
    typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : body.input;
  const references = own.flatMap((item) => (item.type === 'item_reference' ? [item.id] : []));
  const kept = store.items(references);
  const resolved = own.map((item, index) => {
    if (item.type !== 'item_reference') return item;
    const found = kept.get(item.id);
    if (found !== undefined) return inputItem.parse(found);
    throw new OpenAiError(
      404,
      `Item with id '${item.id}' not found. Items are not kept where store is false, and newer ones take their place: send the item itself.`,
      { type: INVALID_REQUEST, code: 'item_not_found', param: `input[${index}].id` },
    );
  });
  return {
    items: [...previous.map((item) => inputItem.parse(item)), ...resolved],
    earlier: previous.length,
    stored: [...previous, ...resolved.map(toStored)],
  };
}

function previousItems(id: string | null | undefined, store: ResponseStore): readonly StoredItem[] {
  if (id == null) return [];
  const previous = store.get(id);
  if (previous !== null) {
    // What it will say would be missing.
    if ('status' in previous.response && previous.response.status === 'in_progress') {
      throw new OpenAiError(400, `Previous response with id '${id}' is in progress. Wait for its end, or cancel it.`, {
        param: 'previous_response_id',
        code: 'previous_response_in_progress',
      });
    }
    return [...previous.input, ...previous.output];
  }
  throw new OpenAiError(400, `Previous response with id '${id}' not found. Send the earlier items in input instead.`, {
    param: 'previous_response_id',
    code: 'previous_response_not_found',
  });
}

const ID_PREFIXES: Readonly<Record<string, string>> = {
  message: 'msg_',
  reasoning: 'rs_',
  function_call: 'fc_',
  function_call_output: 'fco_',
  custom_tool_call: 'ctc_',
  custom_tool_call_output: 'ctco_',
  additional_tools: 'at_',
};

function toStored(item: InputItem): StoredItem {
  const type = item.type ?? 'message';
  const parts =
    'role' in item && typeof item.content === 'string'
      ? { content: [{ type: item.role === 'assistant' ? 'output_text' : 'input_text', text: item.content }] }
      : {};
  return { ...item, ...parts, type, id: item.id ?? newId(ID_PREFIXES[type] ?? 'item_'), status: 'completed' };
}
