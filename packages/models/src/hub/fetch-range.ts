/**
 * Parts of a file of a hub.
 */

import type { Response } from 'undici';
import { HubResponseError } from './errors.ts';
import type { HubClient } from './hub-client.ts';

/** A range of a file's bytes. */
export interface ByteRange {
  readonly begin: number;
  /** One past the last. */
  readonly end: number;
}

/**
 * Streams a range, asking for the rest again where the connection breaks off. Gives up after too many failures in a row
 * without a byte between them.
 *
 * @param fileSize bytes of the whole file, which the hub must agree with
 * @param onBytes gets the bytes in order
 * @throws HubUnreachableError, HubResponseError and what HubClient.get throws; what `onBytes` throws
 */
export async function fetchRange(
  client: HubClient,
  url: string,
  { begin, end }: ByteRange,
  fileSize: number,
  onBytes: (bytes: Uint8Array) => Promise<void> | void,
): Promise<void> {
  let at = begin;
  let failures = 0;
  while (at < end) {
    const response = await client.get(url, at === 0 && end === fileSize ? {} : { range: `bytes=${at}-${end - 1}` });
    checkRange(response, url, { begin: at, end }, fileSize);
    const { received, broken } = await readBody(response, url, end - at, onBytes);
    at += received;
    if (at === end) return;
    failures = received === 0 ? failures + 1 : 1;
    await client.afterFailure(url, failures, broken ?? new Error('the connection was closed too early'));
  }
}

/** Small parts at once: a range in memory. Throws as fetchRange does. */
export async function fetchBytes(
  client: HubClient,
  url: string,
  range: ByteRange,
  fileSize: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(range.end - range.begin);
  let at = 0;
  await fetchRange(client, url, range, fileSize, (chunk) => {
    bytes.set(chunk, at);
    at += chunk.length;
  });
  return bytes;
}

/** Whether the answer is what was asked for: a mirror may not know ranges, or have another file. */
function checkRange(response: Response, url: string, { begin, end }: ByteRange, fileSize: number): void {
  const { status, headers } = response;
  if (status === 200) {
    if (begin > 0 || end < fileSize) throw new HubResponseError(url, status, 'it is the whole file in place of a part');
    const length = headers.get('content-length');
    if (length === null || Number(length) === fileSize) return;
    throw new HubResponseError(url, status, `it has ${length} bytes, the hub told ${fileSize}`);
  }
  const range = /^bytes (?<first>\d+)-\d+\/(?<size>\d+)$/.exec(headers.get('content-range') ?? '')?.groups;
  if (Number(range?.['first']) === begin && Number(range?.['size']) === fileSize) return;
  const found = headers.get('content-range') ?? 'none';
  throw new HubResponseError(url, status, `its range is ${found}, asked for was ${begin}-${end - 1}/${fileSize}`);
}

/**
 * Reads to the end of a body, however it ends. Throws what `onBytes` throws.
 *
 * @param most bytes that may come
 */
async function readBody(
  response: Response,
  url: string,
  most: number,
  onBytes: (bytes: Uint8Array) => Promise<void> | void,
): Promise<{ readonly received: number; readonly broken: unknown }> {
  const reader = response.body?.getReader();
  let received = 0;
  try {
    for (;;) {
      const next = await readNext(reader);
      if ('broken' in next) return { received, broken: next.broken };
      if (received + next.bytes.length > most) {
        throw new HubResponseError(url, response.status, 'it has more bytes than it said');
      }
      await onBytes(next.bytes);
      received += next.bytes.length;
    }
  } finally {
    // Of a body that was read to its end this does nothing.
    await reader?.cancel().catch(() => undefined);
  }
}

/** The next bytes, or what broke the connection: null where it ended as it should. */
async function readNext(
  reader: { read(): Promise<{ readonly done: boolean; readonly value?: unknown }> } | undefined,
): Promise<{ readonly bytes: Uint8Array } | { readonly broken: unknown }> {
  try {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    return done ? { broken: null } : { bytes: value as Uint8Array };
  } catch (broken) {
    return { broken };
  }
}
