import { DuplicateJsonKeyError, InvalidJsonError } from '../errors.ts';

/** An object of parsed JSON. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a parsed JSON value is an object (not an array, not null). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Parses JSON from bytes that must be UTF-8.
 *
 * @param path names the source in errors.
 * @throws InvalidJsonError for bytes that are no UTF-8 or no JSON; DuplicateJsonKeyError for an object with a key twice
 * (JSON.parse would keep the last one in silence).
 */
export function parseJsonBytes(bytes: Uint8Array, path: string): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new InvalidJsonError(path, 'its bytes are no UTF-8', cause);
  }
  return parseJsonText(text, path);
}

/** Parses JSON from text. Errors as in parseJsonBytes. */
export function parseJsonText(text: string, path: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InvalidJsonError(path, cause instanceof Error ? cause.message : String(cause), cause);
  }
  const duplicate = findDuplicateKey(text);
  if (duplicate !== null) throw new DuplicateJsonKeyError(path, duplicate);
  return value;
}

const QUOTE = 0x22;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** The first key that one object of the text has twice, or null. The text must be valid JSON. */
function findDuplicateKey(text: string): string | null {
  // One entry per open bracket: the keys so far of an object, null for an array.
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case OPEN_BRACE:
        open.push(new Set());
        break;
      case OPEN_BRACKET:
        open.push(null);
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        open.pop();
        break;
      case QUOTE: {
        const end = closingQuote(text, at);
        const keys = open.at(-1);
        if (keys && isFollowedByColon(text, end + 1)) {
          const key = keyText(text.slice(at, end + 1));
          if (keys.has(key)) return key;
          keys.add(key);
        }
        at = end;
      }
    }
  }
  return null;
}

/** Two spellings of one key are the same key. */
function keyText(quoted: string): string {
  return quoted.includes('\\') ? String(JSON.parse(quoted)) : quoted.slice(1, -1);
}

function closingQuote(text: string, openingQuote: number): number {
  for (let end = text.indexOf('"', openingQuote + 1); ; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
}

function isFollowedByColon(text: string, position: number): boolean {
  let at = position;
  // The only white space of JSON is space, tab, line feed and carriage return.
  while (text.charCodeAt(at) <= 0x20) at++;
  return text.charCodeAt(at) === COLON;
}
