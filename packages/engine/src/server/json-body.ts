/**
 * Reads a JSON request body within limits and checks it against a schema.
 *
 * @module
 */
import type { Context } from 'hono';
import type { z } from 'zod';
import { badRequest, OpenAiError } from './openai-error.ts';

/** Arrays and objects inside one another, at most: tool schemas need some ten. Deeper ones would only exhaust recursive readers. */
const MAX_DEPTH = 64;

function checkDepth(root: unknown): void {
  let level: unknown[] = [root];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) {
      throw badRequest(
        null,
        `The body is nested too deeply · found more than ${MAX_DEPTH} levels · flatten it`,
        'body_too_deep',
      );
    }
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value !== 'object' || value === null) continue;
      for (const child of Object.values(value)) if (typeof child === 'object' && child !== null) next.push(child);
    }
    level = next;
  }
}

/** `['messages', 2, 'content']` as `messages[2].content`. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  );
}

/** The deepest complaint of a union says more than "no option matched". */
function mostSpecific(issue: z.core.$ZodIssue, prefix: readonly PropertyKey[] = []): { path: string; message: string } {
  const path = [...prefix, ...issue.path];
  if (issue.code === 'invalid_union') {
    const candidates = issue.errors.flat().map((inner) => ({ inner, depth: inner.path.length }));
    const deepest = candidates.toSorted((a, b) => b.depth - a.depth)[0];
    if (deepest !== undefined && deepest.depth > 0) return mostSpecific(deepest.inner, path);
  }
  return { path: fieldPath(path), message: issue.message };
}

/**
 * The request's body as the schema's type. Lone surrogates in strings become U+FFFD: they are no characters and have no UTF-8.
 *
 * @throws OpenAiError 400 with the field's name, 413 where the body is larger than the server's limit, 415 for other types.
 */
export async function readJsonBody<Schema extends z.ZodType>(
  context: Context,
  schema: Schema,
): Promise<z.output<Schema>> {
  const type = context.req.header('content-type') ?? 'application/json';
  if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(type.trim())) {
    throw new OpenAiError(415, `The body's type is not supported · found ${type} · send application/json`, {
      code: 'unsupported_media_type',
    });
  }
  const text = await context.req.text();
  let value: unknown;
  try {
    value = JSON.parse(text, (_, item: unknown) => (typeof item === 'string' ? item.toWellFormed() : item));
  } catch (error) {
    if (error instanceof RangeError) {
      throw badRequest(
        null,
        `The body is nested too deeply · found more than ${MAX_DEPTH} levels · flatten it`,
        'body_too_deep',
      );
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw badRequest(null, `The body is not JSON · found ${reason} · send one JSON object`, 'invalid_json');
  }
  checkDepth(value);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  if (issue === undefined) throw badRequest(null, 'The body is not valid · found no reason · check it against the API');
  const { path, message } = mostSpecific(issue);
  throw badRequest(path === '' ? null : path, `${path === '' ? 'The body' : path} is not valid · ${message}`);
}
