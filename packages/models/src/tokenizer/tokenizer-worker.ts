/** The thread of `readTokenizerInThread`: answers with the data, or with null where the file cannot be used. */

import { parentPort, workerData } from 'node:worker_threads';
import { ModelsError } from '../errors.ts';
import { readTokenizer, type TokenizerData } from './read-tokenizer.ts';

function read(path: string): TokenizerData | null {
  try {
    return readTokenizer(path);
  } catch (error) {
    if (error instanceof ModelsError) return null;
    throw error;
  }
}

if (parentPort !== null && typeof workerData === 'string') {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort.postMessage(read(workerData));
}
