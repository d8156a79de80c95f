import { DuplicateJsonKeyError, InvalidJsonError } from './errors.ts';

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

/** The first key that one object of the text has twice, or null. The text must be valid JSON. */
function findDuplicateKey(text: string): string | null {
  // One entry per open bracket: the keys so far of an object, null for an array.
  const open: (Set<string> | null)[] = [];
  const structure = /["{}[\]]/g;
  for (let match = structure.exec(text); match !== null; match = structure.exec(text)) {
    switch (match[0]) {
      case '{':
        open.push(new Set());
        break;
      case '[':
        open.push(null);
        break;
      case '}':
      case ']':
        open.pop();
        break;
      default: {
        const end = closingQuote(text, match.index);
        structure.lastIndex = end + 1;
        const keys = open.at(-1);
        if (!keys || !isFollowedByColon(text, end + 1)) break;
        const raw = text.slice(match.index, end + 1);
        const key: unknown = raw.includes('\\') ? JSON.parse(raw) : raw.slice(1, -1);
        if (typeof key !== 'string') break;
        if (keys.has(key)) return key;
        keys.add(key);
      }
    }
  }
  return null;
}

function closingQuote(text: string, openingQuote: number): number {
  for (let end = text.indexOf('"', openingQuote + 1); ; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text[end - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return end;
  }
}

function isFollowedByColon(text: string, position: number): boolean {
  let at = position;
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++;
  return text[at] === ':';
}
