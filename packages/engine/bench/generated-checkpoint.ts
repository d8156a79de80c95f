/** A checkpoint of a published size whose bytes are those of one small file, over and over. */

import { type FileHandle, open } from 'node:fs/promises';
import { type Snapshot, type Tensor, gptOssTensorTable, openSnapshot, tensorByteLength } from '@switchyard/models';
import { type PublishedModel, assignGptOssWeights, planPublishedCheckpoint } from '@switchyard/models/testing';

/** Bytes of the file: more than a processor's caches hold. */
export const GENERATED_FILE_BYTES = 512 * 2 ** 20;
const WRITTEN_BYTES = 2 ** 24;

/** Writes the file. Its content does not matter, only that it is not zeros, which some file systems do not keep. */
export async function writeGeneratedFile(path: string): Promise<void> {
  await using file = await open(path, 'w');
  const words = new Uint32Array(WRITTEN_BYTES / 4);
  let state = 0x9e3779b9;
  for (let index = 0; index < words.length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    words[index] = state;
  }
  for (let at = 0; at < GENERATED_FILE_BYTES; at += WRITTEN_BYTES) {
    await file.write(new Uint8Array(words.buffer), 0, WRITTEN_BYTES, at);
  }
}

/**
 * A snapshot to load from, with the tokenizer of the embedded model, whose tensors are read where they would lie in a file
 * that repeats the one at `path`.
 *
 * @param layers default the published number.
 */
export async function openGeneratedSnapshot(
  path: string,
  model: PublishedModel,
  layers: number | undefined,
): Promise<Snapshot & AsyncDisposable> {
  const { config, tensorBytes } = planPublishedCheckpoint({ model, ...(layers === undefined ? {} : { layers }) });
  const tensors = new Map<string, Tensor>();
  const snapshot = await openSnapshot();
  const file = await open(path);
  let begin = 0;
  for (const { name, dtype, shape } of gptOssTensorTable(config, 'huggingface')) {
    tensors.set(name, repeatedTensor(file, begin, { name, dtype, shape }));
    begin += tensorByteLength({ dtype, shape });
  }
  return {
    ...snapshot,
    path,
    config,
    weights: assignGptOssWeights(tensors, config, 'huggingface', path),
    tensorBytes,
    [Symbol.asyncDispose]: async () => {
      snapshot.dispose();
      await file.close();
    },
  };
}

function repeatedTensor(file: FileHandle, offset: number, form: Pick<Tensor, 'name' | 'dtype' | 'shape'>): Tensor {
  return {
    ...form,
    get bytes(): never {
      throw new TypeError(`${form.name} is never whole in memory`);
    },
    readAsync: async (begin, target) => {
      for (let done = 0; done < target.length; ) {
        const at = (offset + begin + done) % GENERATED_FILE_BYTES;
        const length = Math.min(target.length - done, GENERATED_FILE_BYTES - at);
        const { bytesRead } = await file.read(target, done, length, at);
        if (bytesRead === 0) throw new RangeError(`the file of generated pieces ends at byte ${at}`);
        done += bytesRead;
      }
    },
  };
}
