/**
 * The chat page: its files lie in assets/page and are served as they lie. No build step stands between.
 */

import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { Hono, type MiddlewareHandler } from 'hono';
import { compress } from 'hono/compress';
import { etag } from 'hono/etag';

const FOLDER = new URL('../../assets/page/', import.meta.url);
const START = 'index.html';

/** What is sent; types and licences beside the files are for readers of the sources. */
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The page loads nothing from elsewhere, runs nothing that stands in its markup, and makes markup of sanitised text only. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types dompurify',
].join('; ');

const guard: MiddlewareHandler = async (context, next) => {
  context.header('content-security-policy', POLICY);
  context.header('x-content-type-options', 'nosniff');
  // Links in answers tell nobody where they were found.
  context.header('referrer-policy', 'no-referrer');
  context.header('cross-origin-opener-policy', 'same-origin');
  // A server that was updated serves its own page; the entity tag spares the transfer.
  context.header('cache-control', 'no-cache');
  await next();
};

/** `GET /` and the files that it names below `/page/`. */
export function pageRoutes(): Hono {
  const app = new Hono({ strict: false });
  for (const entry of readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })) {
    const name = entry.replaceAll('\\', '/');
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    app.get(name === START ? '/' : `/page/${name}`, guard, compress(), etag(), async (context) =>
      context.body(await readFile(new URL(name, FOLDER), 'utf8'), 200, { 'content-type': type }),
    );
  }
  return app;
}
