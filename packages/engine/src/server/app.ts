/**
 * The routes, and what every request passes on its way to them.
 *
 * @module
 */
import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type Context, type Handler, Hono, type MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import type { Logger } from '../logger.ts';
import { chatCompletions } from './chat-completions.ts';
import { completions } from './completions.ts';
import { outgoingOf } from './event-stream.ts';
import { OpenAiError, toOpenAiError } from './errors/openai-error.ts';
import { responses } from './responses.ts';
import { logFailure, REQUEST_ID, requireModel, type Serving } from './serving.ts';
import { detokenize, score, tokenize } from './text-routes.ts';

/** What the app needs beside the engine. */
export interface AppOptions {
  readonly apiKey: string | null;
  readonly corsOrigin: string | null;
  readonly logger: Required<Logger>;
}

const PAGE = new URL('../../assets/chat.html', import.meta.url);
/** The page loads nothing from elsewhere. */
const PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The client's request id where it is harmless, else a new one. */
function requestId(given: string | undefined): string {
  return given !== undefined && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}

function answerError(serving: Serving, context: Context, thrown: unknown): Response {
  const error = toOpenAiError(thrown);
  logFailure(serving, context, error);
  if (error.retryAfter !== null) context.header('retry-after', String(error.retryAfter));
  if (error.status === 401) context.header('www-authenticate', 'Bearer');
  return new Response(JSON.stringify(error.body), {
    status: error.status,
    headers: { ...Object.fromEntries(context.res.headers), 'content-type': 'application/json' },
  });
}

function requireApiKey(apiKey: string): MiddlewareHandler {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(apiKey);
  return async (context, next) => {
    const given = /^Bearer\s+(.+)$/i.exec(context.req.header('authorization') ?? '')?.[1];
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

function refuseMethod(allowed: 'GET' | 'POST') {
  return (context: Context): never => {
    const { method, path } = context.req;
    context.header('allow', allowed === 'GET' ? 'GET, HEAD' : allowed);
    throw new OpenAiError(405, `${path} has no ${method} · found ${method} · send ${allowed}`, {
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
  const app = new Hono();
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
  app.get('/', async (context) => {
    context.header('content-security-policy', PAGE_POLICY);
    return context.html(await readFile(PAGE, 'utf8'));
  });

  const guarded = new Hono();
  guarded.onError((error, context) => answerError(serving, context, error));
  if (options.apiKey !== null) guarded.use(requireApiKey(options.apiKey));
  const routes: readonly (readonly [method: 'GET' | 'POST', path: string, handler: Handler])[] = [
    ['GET', '/metrics', metrics(serving)],
    ['POST', '/v1/chat/completions', chatCompletions(serving)],
    ['POST', '/v1/responses', responses(serving)],
    ['POST', '/v1/completions', completions(serving)],
    ['POST', '/v1/score', score(serving)],
    ['POST', '/tokenize', tokenize(serving)],
    ['POST', '/detokenize', detokenize(serving)],
    ['GET', '/v1/models', models(serving).list],
    ['GET', '/v1/models/:id', models(serving).one],
    ['GET', '/expert-load', expertLoad(serving)],
  ];
  for (const [method, path, handler] of routes) {
    guarded.on(method, path, handler);
    guarded.all(path, refuseMethod(method));
  }
  app.route('/', guarded);
  return app;
}
