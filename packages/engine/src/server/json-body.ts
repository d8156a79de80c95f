/**
 * Reads a JSON request body within limits and checks it against a schema.
 */

import { reasonOf } from '../contain.ts';
import type { Context } from 'hono';
import type { z } from 'zod';
import { badRequest, OpenAiError } from './errors/openai-error.ts';
import { readBody } from './request-body.ts';
import { requireModel, type Serving } from './serving.ts';
import { explain } from './errors/validation-message.ts';

/** Arrays and objects inside one another, at most: tool schemas need some ten. Deeper ones would only exhaust recursive readers. */
const MAX_DEPTH = 64;

function tooDeep(): OpenAiError {
  const message = `The body is nested too deeply · found more than ${MAX_DEPTH} levels · flatten it`;
  return badRequest(null, message, 'body_too_deep');
}

function checkDepth(root: unknown): void {
  let level: unknown[] = [root];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) throw tooDeep();
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value !== 'object' || value === null) continue;
      for (const child of Object.values(value)) if (typeof child === 'object' && child !== null) next.push(child);
    }
    level = next;
  }
}

/** Lone surrogates can only come in as escapes: decoded UTF-8 has none. */
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;

const wellFormed = (_: string, item: unknown): unknown => {
  if (typeof item === 'string') return item.toWellFormed();
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
  return Object.keys(item).every((key) => key.isWellFormed())
    ? item
    : Object.fromEntries(Object.entries(item).map(([key, value]) => [key.toWellFormed(), value]));
};

/**
 * The request's body as the schema's type. Lone surrogates in strings become U+FFFD: they are no characters and have no UTF-8.
 *
 * @throws OpenAiError 400 with the field's name, 404 for a model that is not served here, 413 where the body is larger
 * than the server's limit, 415 for other types.
 */
export async function readJsonBody<Body extends { readonly model?: string | null | undefined }>(
  context: Context,
  serving: Serving,
  schema: z.ZodType<Body>,
): Promise<Body> {
  // Pages may send bodies without a type to any server, unasked: such a body is not read either.
  const type = context.req.header('content-type') ?? 'none';
  if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(type.trim())) {
    throw new OpenAiError(415, `The body's type is not supported · found ${type} · send application/json`, {
      code: 'unsupported_media_type',
    });
  }
  const text = await readBody(context, serving.maxBodyBytes);
  let value: unknown;
  try {
    value = SURROGATE_ESCAPE.test(text) ? JSON.parse(text, wellFormed) : JSON.parse(text);
  } catch (error) {
    if (error instanceof RangeError) throw tooDeep();
    const reason = reasonOf(error);
    throw badRequest(null, `The body is not JSON · found ${reason} · send one JSON object`, 'invalid_json');
  }
  checkDepth(value);
  const parsed = schema.safeParse(value);
  if (parsed.success) {
    requireModel(serving, parsed.data.model);
    return parsed.data;
  }
  const issue = parsed.error.issues[0];
  if (issue === undefined) throw badRequest(null, 'The body is not valid · found no reason · check it against the API');
  const { field, message } = explain(issue);
  throw badRequest(field === '' ? null : field, `${field === '' ? 'The body' : field} is not valid · ${message}`);
}
