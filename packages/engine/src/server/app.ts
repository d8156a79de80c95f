/**
 * The routes, and what every request passes on its way to them.
 */

import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import { createRequire } from 'node:module';
import { type Context, type Handler, Hono, type MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import type { Logger } from '../logger.ts';
import { anthropicMessages } from './anthropic-messages.ts';
import { chatCompletions } from './chat-completions.ts';
import { completions } from './completions.ts';
import { ENCODINGS } from './content-encoding.ts';
import { outgoingOf } from './event-stream.ts';
import { anthropicErrorBody } from './errors/anthropic-error.ts';
import { OpenAiError, toOpenAiError } from './errors/openai-error.ts';
import { pageRoutes } from './page.ts';
import { responses } from './responses.ts';
import { storedResponses } from './stored-responses.ts';
import { logFailure, REQUEST_ID, requireModel, type Serving } from './serving.ts';
import { detokenize, score, tokenize } from './text-routes.ts';

/** What the app needs beside the engine. */
export interface AppOptions {
  readonly apiKey: string | null;
  readonly corsOrigin: string | null;
  readonly logger: Required<Logger>;
}

type Method = 'GET' | 'POST' | 'DELETE';

/** The package's own, for `/version`. */
const VERSION = (createRequire(import.meta.url)('../../package.json') as { readonly version: string }).version;

/** The client's request id where it is harmless, else a new one. */
function requestId(given: string | undefined): string {
  return given !== undefined && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}

function answerError(serving: Serving, context: Context, thrown: unknown): Response {
  const error = toOpenAiError(thrown);
  logFailure(serving, context, error);
  if (error.retryAfter !== null) context.header('retry-after', String(error.retryAfter));
  if (error.status === 401) context.header('www-authenticate', 'Bearer');
  if (error.code === 'unsupported_encoding') context.header('accept-encoding', ENCODINGS);
  const body = context.req.path.startsWith('/v1/messages') ? anthropicErrorBody(error) : error.body;
  return new Response(JSON.stringify(body), {
    status: error.status,
    headers: { ...Object.fromEntries(context.res.headers), 'content-type': 'application/json' },
  });
}

function requireApiKey(apiKey: string): MiddlewareHandler {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(apiKey);
  return async (context, next) => {
    // Anthropic's clients send the second.
    const bearer = /^Bearer\s+(.+)$/i.exec(context.req.header('authorization') ?? '')?.[1];
    const given = bearer ?? context.req.header('x-api-key');
    if (given === undefined || !timingSafeEqual(digest(given), expected)) {
      const found = given === undefined ? 'no key' : 'another key';
      throw new OpenAiError(401, `The API key is not valid · found ${found} · send "Authorization: Bearer KEY"`, {
        code: 'invalid_api_key',
      });
    }
    await next();
  };
}

function logRequests(logger: Required<Logger>): MiddlewareHandler {
  return async (context, next) => {
    const id = requestId(context.req.header('x-request-id'));
    const started = performance.now();
    context.set(REQUEST_ID, id);
    context.header('x-request-id', id);
    const response = outgoingOf(context);
    // A stream's handler is done long before its answer is.
    response.once('close', () => {
      logger.info('request', {
        requestId: id,
        method: context.req.method,
        path: context.req.path,
        status: response.statusCode,
        complete: response.writableFinished,
        ms: Math.round((performance.now() - started) * 1000) / 1000,
      });
    });
    await next();
  };
}

function health(serving: Serving) {
  return (context: Context): Response => {
    const { state, progress } = serving.holder;
    if (state === 'ready') return context.json({ status: 'ok' });
    context.header('retry-after', '2');
    const error = { code: 503, message: state, type: 'unavailable_error', param: null };
    return context.json({ status: state, error, ...(progress === null ? {} : { progress }) }, 503);
  };
}

function models(serving: Serving) {
  const model = () => ({
    id: serving.modelId,
    object: 'model',
    created: serving.created,
    owned_by: 'switchyard',
    max_model_len: serving.holder.engineOrNull?.model.contextLength ?? null,
  });
  return {
    list: (context: Context): Response => context.json({ object: 'list', data: [model()] }),
    one: (context: Context): Response => {
      requireModel(serving, context.req.param('id'));
      return context.json(model());
    },
  };
}

function metrics(serving: Serving) {
  return async (context: Context): Promise<Response> =>
    context.body(await serving.metrics.text(), 200, { 'content-type': serving.metrics.registry.contentType });
}

function refuseMethod(allowed: readonly Method[]) {
  const names = allowed.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
  return (context: Context): never => {
    const { method, path } = context.req;
    context.header('allow', names);
    throw new OpenAiError(405, `${path} has no ${method} · found ${method} · send ${allowed.join(' or ')}`, {
      code: 'method_not_allowed',
    });
  };
}

/** Tokens sent to each expert since the model was loaded, for the page's heat map. */
function expertLoad(serving: Serving) {
  return async (context: Context): Promise<Response> => {
    const { layers, experts, counts } = (await serving.holder.engine.report()).expertLoad;
    return context.json({
      layers: Array.from({ length: layers }, (_, layer) => ({
        layer,
        tokens: Array.from(counts.subarray(layer * experts, (layer + 1) * experts)),
      })),
    });
  };
}

/** The whole HTTP interface. */
export function createApp(serving: Serving, options: AppOptions): Hono {
  const app = new Hono({ strict: false });
  app.onError((error, context) => answerError(serving, context, error));
  app.notFound((context) =>
    answerError(
      serving,
      context,
      new OpenAiError(404, `There is no ${context.req.method} ${context.req.path} · see /v1/models for a start`, {
        code: 'unknown_url',
      }),
    ),
  );
  app.use(logRequests(options.logger));
  if (options.corsOrigin !== null) {
    app.use(cors({ origin: options.corsOrigin, exposeHeaders: ['x-request-id', 'retry-after'] }));
  }
  app.get('/health', health(serving));
  app.on(['GET', 'POST'], '/ping', health(serving));
  app.route('/', pageRoutes());

  const guarded = new Hono({ strict: false });
  guarded.onError((error, context) => answerError(serving, context, error));
  if (options.apiKey !== null) guarded.use(requireApiKey(options.apiKey));
  const stored = storedResponses(serving);
  const anthropic = anthropicMessages(serving);
  const routes: readonly (readonly [path: string, handlers: Partial<Record<Method, Handler>>])[] = [
    ['/metrics', { GET: metrics(serving) }],
    ['/version', { GET: (context) => context.json({ version: VERSION }) }],
    ['/v1/chat/completions', { POST: chatCompletions(serving) }],
    ['/v1/responses', { POST: responses(serving) }],
    ['/v1/responses/:id', { GET: stored.retrieve, DELETE: stored.remove }],
    ['/v1/responses/:id/cancel', { POST: stored.cancel }],
    ['/v1/responses/:id/input_items', { GET: stored.inputItems }],
    ['/v1/messages', { POST: anthropic.create }],
    ['/v1/messages/count_tokens', { POST: anthropic.count }],
    ['/v1/completions', { POST: completions(serving) }],
    ['/v1/score', { POST: score(serving) }],
    ['/tokenize', { POST: tokenize(serving) }],
    ['/detokenize', { POST: detokenize(serving) }],
    ['/v1/models', { GET: models(serving).list }],
    // A model's id may have slashes, as openai/gpt-oss-20b.
    ['/v1/models/:id{.+}', { GET: models(serving).one }],
    ['/expert-load', { GET: expertLoad(serving) }],
  ];
  for (const [path, handlers] of routes) {
    for (const [method, handler] of Object.entries(handlers)) guarded.on(method, path, handler);
    guarded.all(path, refuseMethod(Object.keys(handlers) as Method[]));
  }
  app.route('/', guarded);
  return app;
}
