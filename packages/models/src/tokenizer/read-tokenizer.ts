import { statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { readJsonFile } from '../files/json-file.ts';
import { TokenTable, type TokenTableData } from './token-table.ts';
import { parseTokenizerFile } from './tokenizer-file.ts';

/** A tokenizer.json, read and checked. Survives a structured clone, after which threads share the tokens' memory. */
export interface TokenizerData {
  readonly tokens: TokenTableData;
  /** Tokens that text is never encoded to, by text. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** The regular expression that cuts text into the pieces within which merges happen. */
  readonly pattern: string;
}

const RUNS_FROM_SOURCE = import.meta.url.endsWith('.ts');
const WORKER_URL = new URL(
  RUNS_FROM_SOURCE ? './tokenizer-worker-from-source.mjs' : './tokenizer-worker.js',
  import.meta.url,
);

/** Up to this size a file is read sooner than a thread starts. That of GPT-OSS has 28 MB, and takes a second or two. */
const LARGEST_FILE_READ_HERE = 2 ** 20;

/** The data of the JSON of a tokenizer.json. Throws InvalidTokenizerError. @param path names the file in errors. */
export function tokenizerDataOf(json: unknown, path: string): TokenizerData {
  const { tokens, specialTokens, pattern } = parseTokenizerFile(json, path);
  return { tokens: TokenTable.of(tokens, new Set(specialTokens.values())).data, specialTokens, pattern };
}

/**
 * Reads a tokenizer.json.
 *
 * @throws FileNotReadableError, InvalidJsonError, DuplicateJsonKeyError or InvalidTokenizerError
 */
export function readTokenizer(path: string): TokenizerData {
  return tokenizerDataOf(readJsonFile(path), path);
}

/**
 * Reads a tokenizer.json without holding up this thread, where it is large.
 *
 * @param signal ends the thread; the promise rejects with its reason.
 * @throws as `readTokenizer` does
 */
export async function readTokenizerInThread(path: string, signal?: AbortSignal): Promise<TokenizerData> {
  // Signals of another realm need not have throwIfAborted.
  if (signal?.aborted === true) throw signal.reason;
  const data = isLarge(path) ? await readElsewhere(path, signal) : null;
  // A file that cannot be used, or a thread that cannot start: reading it here gives the error, or the data.
  return data ?? readTokenizer(path);
}

function isLarge(path: string): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LARGEST_FILE_READ_HERE;
}

function readElsewhere(path: string, signal: AbortSignal | undefined): Promise<TokenizerData | null> {
  return new Promise((resolve, reject) => {
    let worker: Worker;
    try {
      worker = new Worker(WORKER_URL, { workerData: path, name: 'switchyard-tokenizer' });
    } catch {
      resolve(null);
      return;
    }
    const abort = (): void => {
      reject(signal?.reason);
      void worker.terminate();
    };
    signal?.addEventListener('abort', abort, { once: true });
    worker.once('message', (data: TokenizerData | null) => resolve(data));
    worker.once('error', () => resolve(null));
    worker.once('exit', () => {
      signal?.removeEventListener('abort', abort);
      resolve(null);
    });
  });
}
