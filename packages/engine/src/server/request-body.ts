/**
 * Reads request bodies straight from Node's request, no more of them than the server allows.
 */

import type { IncomingMessage } from 'node:http';
import type { Context } from 'hono';
import { decodeBody, encodingsOf } from './content-encoding.ts';
import { OpenAiError } from './errors/openai-error.ts';

/** Node's own request, which the HTTP server passes through the app. */
function incomingOf(context: Context): IncomingMessage {
  return (context.env as { readonly incoming: IncomingMessage }).incoming;
}

function tooLarge(maxBytes: number): OpenAiError {
  return new OpenAiError(413, `The body is too large · at most ${maxBytes} bytes are read · shorten it`, {
    code: 'body_too_large',
  });
}

/**
 * The body as text, decoded where it is compressed; bytes that are no UTF-8 become U+FFFD.
 *
 * @throws OpenAiError 413 as soon as the body, as sent or decoded, is known to be larger than `maxBytes`, 415 for an
 * unknown encoding, 499 where it ends early.
 */
export async function readBody(context: Context, maxBytes: number): Promise<string> {
  const incoming = incomingOf(context);
  const encodings = encodingsOf(incoming.headers['content-encoding']);
  if (Number(incoming.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    // The connection stays: the error is still to be sent over it.
    for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
      chunks.push(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size > maxBytes) break;
    }
  } catch (cause) {
    throw new OpenAiError(499, 'The body ended early · the connection was closed · nothing to do', {
      code: 'client_closed_request',
      cause,
    });
  }
  if (size > maxBytes) throw tooLarge(maxBytes);
  const body = await decodeBody(Buffer.concat(chunks), encodings, maxBytes, () => tooLarge(maxBytes));
  return new TextDecoder().decode(body);
}
