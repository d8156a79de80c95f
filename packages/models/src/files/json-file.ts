import { readFileSync, statSync } from 'node:fs';
import { FileNotReadableError } from '../errors.ts';
import { parseJsonBytes } from './json-text.ts';

/** The largest JSON file that is read, in bytes: several times the tokenizer.json of gpt-oss-120b. */
const MAX_JSON_BYTES = 256 * 1024 * 1024;

/**
 * Reads a JSON file of a checkpoint.
 *
 * @throws FileNotReadableError, InvalidJsonError or DuplicateJsonKeyError
 */
export function readJsonFile(path: string): unknown {
  return parseJsonBytes(readFileBytes(path), path);
}

/** Reads a small file of a checkpoint. Throws FileNotReadableError, for one of more than 256 MiB as well. */
export function readFileBytes(path: string): Uint8Array {
  try {
    const { size } = statSync(path);
    if (size > MAX_JSON_BYTES) throw new RangeError(`it has ${size} bytes, at most ${MAX_JSON_BYTES} are read`);
    return readFileSync(path);
  } catch (cause) {
    throw new FileNotReadableError(path, 'point to the folder of a GPT-OSS checkpoint', cause);
  }
}
