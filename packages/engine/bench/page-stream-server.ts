/**
 * Serves the page and answers of page-answers.ts: `page-stream-server.ts TOKENS RATE` streams so many tokens, so many a second.
 * Tells its parent its URL.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import { pageRoutes } from '../src/server/page.ts';
import { SHAPES, textOf, tokensOf } from './page-answers.ts';

const [tokens = 0, rate = 1] = process.argv.slice(2).map(Number);
/** Timers of Node are no finer than this. */
const TURN_MS = 4;

const app = new Hono();
app.route('/', pageRoutes());
app.get('/health', (context) => context.json({ status: 'ok' }));
app.get('/expert-load', (context) =>
  context.json({
    layers: Array.from({ length: 24 }, (_, layer) => ({ layer, tokens: Array.from({ length: 32 }, () => layer) })),
  }),
);
app.post('/v1/chat/completions', async (context) => {
  const { messages } = await context.req.json<{ messages: readonly { content: string }[] }>();
  const shape = SHAPES.find((name) => name === messages.at(-1)?.content) ?? SHAPES[0];
  const pieces = tokensOf(textOf(shape, tokens));
  return streamSSE(context, async (stream) => {
    const start = performance.now();
    const send = (delta: object, finish: string | null): Promise<void> =>
      stream.writeSSE({ data: JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] }) });
    for (let sent = 0; sent < pieces.length; ) {
      const due = Math.min(pieces.length, Math.ceil(((performance.now() - start) * rate) / 1000));
      for (; sent < due; sent += 1) await send({ content: pieces[sent] }, null);
      await delay(TURN_MS);
    }
    await send({}, 'stop');
    await stream.writeSSE({ data: '[DONE]' });
  });
});

serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => {
  process.send?.({ url: `http://127.0.0.1:${port}` });
});
