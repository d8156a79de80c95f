/**
 * Reasoning that clients keep for the server: an opaque text that only this server can read back.
 */

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const ALGORITHM = 'aes-256-gcm';
const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Of the layout: version, initialization vector, tag, encrypted text. */
const VERSION = 1;

/** Seals texts with a key that lives as long as the server. */
export class ReasoningSeal {
  readonly #key = randomBytes(KEY_BYTES);

  /** The text as base64url, different each time. */
  seal(text: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#key, iv, { authTagLength: TAG_BYTES });
    const encrypted = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return Buffer.concat([Buffer.of(VERSION), iv, cipher.getAuthTag(), encrypted]).toString('base64url');
  }

  /** The text that was sealed; null for what this server did not seal, or somebody changed. */
  open(sealed: string): string | null {
    const bytes = Buffer.from(sealed, 'base64url');
    if (bytes[0] !== VERSION || bytes.length < 1 + IV_BYTES + TAG_BYTES) return null;
    const tagAt = 1 + IV_BYTES;
    const decipher = createDecipheriv(ALGORITHM, this.#key, bytes.subarray(1, tagAt), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(bytes.subarray(tagAt, tagAt + TAG_BYTES));
    try {
      const text = decipher.update(bytes.subarray(tagAt + TAG_BYTES));
      return Buffer.concat([text, decipher.final()]).toString('utf8');
    } catch {
      return null;
    }
  }
}
