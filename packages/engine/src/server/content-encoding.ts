/**
 * Compressed request bodies, decoded within the limit that holds for plain ones.
 */

import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { badRequest, OpenAiError } from './errors/openai-error.ts';

type Decode = (data: Buffer, options: { readonly maxOutputLength: number }) => Promise<Buffer>;

const inflate: Decode = promisify(zlib.inflate);
const inflateRaw: Decode = promisify(zlib.inflateRaw);
const gunzip: Decode = promisify(zlib.gunzip);

/** Compression method 8 in the first byte: a zlib stream, which HTTP means by deflate. Some clients send the bare data. */
const hasZlibHeader = (data: Buffer): boolean => ((data[0] ?? 0) & 0x0f) === 8;

/** Node has zstd from 22.15 on, and Node's types of older versions do not know it. */
const { zstdDecompress } = zlib as { readonly zstdDecompress?: typeof zlib.gunzip };

const tooMuch = (): Error => Object.assign(new Error('more than the limit'), { code: 'ERR_BUFFER_TOO_LARGE' });

/** zstd where Node has none. Windows of more than 32 MiB are refused. */
const decompressZstd: Decode = async (data, { maxOutputLength }) => {
  const { Decompress } = await import('fzstd');
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  const stream = new Decompress((piece) => {
    bytes += piece.length;
    if (bytes > maxOutputLength) throw tooMuch();
    // Its memory is the decoder's, which goes on with it.
    pieces.push(piece.slice());
  });
  try {
    stream.push(data, true);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw code === 'ERR_BUFFER_TOO_LARGE' ? error : Object.assign(new Error(message), { code: message });
  }
  return Buffer.concat(pieces);
};

const DECODERS: Readonly<Record<string, Decode>> = {
  gzip: gunzip,
  'x-gzip': gunzip,
  deflate: (data, options) => (hasZlibHeader(data) ? inflate : inflateRaw)(data, options),
  br: promisify(zlib.brotliDecompress),
  zstd: zstdDecompress === undefined ? decompressZstd : (promisify(zstdDecompress) as Decode),
};

/** What clients may send, for `Accept-Encoding`. */
export const ENCODINGS = Object.keys(DECODERS)
  .filter((name) => !name.startsWith('x-'))
  .join(', ');

/** Encodings on top of each other, at most: more are no client's. */
const MOST_ENCODINGS = 2;

/** The encodings of a `Content-Encoding` header, the one to undo first at the front. @throws OpenAiError 415 */
export function encodingsOf(header: string | undefined): string[] {
  const names = (header ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity')
    .toReversed();
  const unknown = names.find((name) => !Object.hasOwn(DECODERS, name));
  if (unknown === undefined && names.length <= MOST_ENCODINGS) return names;
  throw new OpenAiError(
    415,
    `The body's encoding is not supported · found ${header} · send it plain, or in one of ${ENCODINGS}`,
    { code: 'unsupported_encoding' },
  );
}

/**
 * The body itself.
 *
 * @param tooLarge Makes the error for a body that has more than `maxBytes` when decoded: no more than those are made.
 * @throws OpenAiError 400 for data that is not in its encoding
 */
export async function decodeBody(
  data: Buffer,
  encodings: readonly string[],
  maxBytes: number,
  tooLarge: () => OpenAiError,
): Promise<Buffer> {
  let decoded = data;
  for (const name of encodings) {
    const decode = DECODERS[name];
    try {
      if (decode !== undefined) decoded = await decode(decoded, { maxOutputLength: maxBytes });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge();
      const reason = (error as NodeJS.ErrnoException).code ?? 'broken data';
      throw badRequest(
        null,
        `The body is not ${name} · found ${reason} · send it plain, or encode it whole`,
        'invalid_encoding',
      );
    }
  }
  return decoded;
}
