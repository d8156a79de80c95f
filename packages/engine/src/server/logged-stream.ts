/**
 * A response's events out of its log: those that were and those to come, for whoever comes late or comes back.
 */

import type { Context } from 'hono';
import type { EventLog } from './event-log.ts';
import { abortWithClient, streamEvents } from './event-stream.ts';
import { toOpenAiError } from './errors/openai-error.ts';
import type { Serving } from './serving.ts';

/**
 * Answers with the events above a number. That the client goes away ends nothing but this.
 *
 * @throws OpenAiError 400 where the first of them is kept no more.
 */
export function streamLogged(context: Context, serving: Serving, log: EventLog, after: number): Response {
  log.check(after);
  const gone = abortWithClient(context);
  return streamEvents(context, serving, gone, async (events) => {
    let last = after;
    try {
      for await (const { sequence, type, json } of log.after(after, gone.signal)) {
        await events.sendJson(json, type);
        last = sequence;
      }
    } catch (error) {
      // Too slow for what is kept.
      const { message, code, param } = toOpenAiError(error);
      await events.send({ type: 'error', code, message, param, sequence_number: last + 1 }, 'error');
    }
  });
}
