/** UTF-8 a byte at a time. */

/** What has been read of a character. */
export interface Utf8Reading {
  readonly bits: number;
  /** Bytes that are still to come. */
  readonly left: number;
  /** The least character that may be written with so many bytes. */
  readonly least: number;
}

/** Where a character begins. */
export const NOTHING_READ: Utf8Reading = { bits: 0, left: 0, least: 0 };

/** A character of UTF-8 with one more byte; null where that is none. */
export function readByte(byte: number, { bits, left, least }: Utf8Reading): Utf8Reading | null {
  if (left > 0) {
    if ((byte & 0xc0) !== 0x80) return null;
    const read = { bits: (bits << 6) | (byte & 0x3f), left: left - 1, least };
    const isNone = read.left === 0 && (read.bits < least || read.bits > 0x10ffff || (read.bits & 0x1ff800) === 0xd800);
    return isNone ? null : read;
  }
  if (byte < 0x80) return { bits: byte, left: 0, least: 0 };
  if (byte >= 0xc2 && byte <= 0xdf) return { bits: byte & 0x1f, left: 1, least: 0x80 };
  if (byte >= 0xe0 && byte <= 0xef) return { bits: byte & 0x0f, left: 2, least: 0x800 };
  return byte >= 0xf0 && byte <= 0xf4 ? { bits: byte & 0x07, left: 3, least: 0x10000 } : null;
}
