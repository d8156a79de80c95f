import { readFileSync, statSync } from 'node:fs';
import { FileNotReadableError, InvalidJsonError } from '../errors.ts';
import { HEAD_BYTES, refuseForeignFile } from './foreign-file.ts';
import { parseJsonBytes } from './json-text.ts';

/** The largest JSON file that is read, in bytes: several times the tokenizer.json of gpt-oss-120b. */
const MAX_JSON_BYTES = 256 * 1024 * 1024;

/**
 * Reads a JSON file of a checkpoint.
 *
 * @throws FileNotReadableError, ForeignFileError, InvalidJsonError or DuplicateJsonKeyError
 */
export function readJsonFile(path: string): unknown {
  const bytes = readFileBytes(path);
  try {
    return parseJsonBytes(bytes, path);
  } catch (error) {
    if (error instanceof InvalidJsonError) refuseForeignFile(bytes.subarray(0, HEAD_BYTES), path, 'JSON');
    throw error;
  }
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
