/**
 * `/v1/responses/ID`: what is kept of earlier responses.
 */

import type { Context } from 'hono';
import { badRequest } from './errors/openai-error.ts';
import { streamLogged } from './logged-stream.ts';
import { responseNotFound } from './response-context.ts';
import type { StoredItem, StoredResponse } from './response-store.ts';
import type { Serving } from './serving.ts';

const DEFAULT_ITEMS = 20;
const MOST_ITEMS = 100;

/** @throws OpenAiError 404 */
function storedOf(serving: Serving, context: Context): StoredResponse {
  const id = context.req.param('id') ?? '';
  const stored = serving.background.get(id) ?? serving.responses.get(id);
  if (stored === null) throw responseNotFound(id);
  return stored;
}

/** The items that a page of a list has. @throws OpenAiError 400 */
function page(context: Context, oldestFirst: readonly StoredItem[]): { data: StoredItem[]; more: boolean } {
  const { order = 'desc', after, limit = String(DEFAULT_ITEMS) } = context.req.query();
  if (order !== 'asc' && order !== 'desc')
    throw badRequest('order', `order is not valid · found ${order} · give asc or desc`);
  const count = Number(limit);
  if (!Number.isInteger(count) || count < 1 || count > MOST_ITEMS) {
    throw badRequest('limit', `limit is not valid · found ${limit} · give 1 to ${MOST_ITEMS}`);
  }
  const items = order === 'asc' ? oldestFirst : oldestFirst.toReversed();
  const from = after === undefined ? 0 : items.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && from === 0)
    throw badRequest('after', `after is not valid · found ${after} · give an item's id`);
  return { data: items.slice(from, from + count), more: items.length > from + count };
}

/** `starting_after`; -1 where it is not given. @throws OpenAiError 400 */
function sequenceNumber(given: string | undefined): number {
  if (given === undefined) return -1;
  if (/^\d{1,15}$/.test(given)) return Number(given);
  throw badRequest('starting_after', `starting_after is not valid · found ${given} · give an event's sequence_number`);
}

/** The handlers. */
export function storedResponses(serving: Serving) {
  return {
    /** `GET /v1/responses/ID`, with `stream=true` its events above `starting_after`. */
    retrieve: (context: Context): Response => {
      const { id, response } = storedOf(serving, context);
      const { stream = 'false', starting_after: after } = context.req.query();
      if (stream !== 'true' && stream !== 'false') {
        throw badRequest('stream', `stream is not valid · found ${stream} · give true or false`);
      }
      if (stream === 'false') return context.json(response);
      const log = serving.background.events(id);
      if (log === null) {
        throw badRequest(
          'stream',
          'The response has no stream · only those made with background and stream have one, while there is room for it · leave stream out',
        );
      }
      return streamLogged(context, serving, log, sequenceNumber(after));
    },
    /** `DELETE /v1/responses/ID` */
    remove: (context: Context): Response => {
      const { id } = storedOf(serving, context);
      serving.background.drop(id);
      serving.responses.delete(id);
      return context.json({ id, object: 'response', deleted: true });
    },
    /** `POST /v1/responses/ID/cancel`. One that is over stays as it is. */
    cancel: async (context: Context): Promise<Response> => {
      const { id, response } = storedOf(serving, context);
      if (!('background' in response) || response.background !== true) {
        throw badRequest('response_id', 'Cannot cancel a synchronous response. Close its connection instead.');
      }
      await serving.background.cancel(id);
      return context.json(storedOf(serving, context).response);
    },
    /** `GET /v1/responses/ID/input_items`: the newest first, unless `order=asc`. */
    inputItems: (context: Context): Response => {
      const { data, more } = page(context, storedOf(serving, context).input);
      return context.json({
        object: 'list',
        data,
        first_id: data[0]?.id ?? null,
        last_id: data.at(-1)?.id ?? null,
        has_more: more,
      });
    },
  };
}
