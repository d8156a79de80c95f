import { mkdir, open, readdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { FolderNotEmptyError } from '../errors.ts';
import {
  planPublishedCheckpoint,
  type PlannedFile,
  type PlannedTensor,
  type PublishedCheckpoint,
} from './checkpoint-plan.ts';
import { publishedTokenizerText } from './published-tokenizer.ts';
import { syntheticTensorBytes } from './synthetic-tensors.ts';

/** What to write. */
export interface SyntheticCheckpointOptions extends PublishedCheckpoint {
  /** A whole number; the same one gives the same weights. Default 1. */
  readonly seed?: number;
  /**
   * 'zeros' leaves a hole in place of the weights, which takes no time and, where the file system knows holes (not on
   * Windows), no room: for what looks at names and shapes alone. Default 'random'.
   */
  readonly weights?: 'random' | 'zeros';
  /** Whether to write tokenizer.json, which openSnapshot needs and takes seconds. Default true. */
  readonly tokenizer?: boolean;
  /** Called when a safetensors file is complete. */
  readonly onFile?: (name: string, bytes: number) => void;
}

/** Where the parts of a checkpoint were written. */
export interface WrittenCheckpoint {
  /** The folder to open: `folder`, or `original` in it. Absolute. */
  readonly path: string;
  /** Bytes of all tensors. */
  readonly tensorBytes: number;
}

/**
 * Writes a checkpoint of a published shape with random weights: the files, tensors, configuration and tokenizer of
 * openai/gpt-oss-20b or -120b, complete enough for every loader. gpt-oss-20b takes 13.8 GB, gpt-oss-120b 65.3 GB; the
 * memory that writing takes does not grow with them.
 *
 * An `original` checkpoint lies as it was published: weights and config.json in `original`, the tokenizer beside it.
 *
 * @param folder made where it does not exist; must be empty.
 * @throws FolderNotEmptyError; InvalidConfigError for a number of layers that is none; the system's error where the disk
 * is full or the folder may not be written.
 */
export async function writeSyntheticCheckpoint(
  folder: string,
  options: SyntheticCheckpointOptions,
): Promise<WrittenCheckpoint> {
  const plan = planPublishedCheckpoint(options);
  const { seed = 1 } = options;
  const root = resolve(folder);
  const weights = join(root, plan.weightsFolder);
  await mkdir(root, { recursive: true });
  const found = await readdir(root);
  if (found.length > 0) throw new FolderNotEmptyError(root, found);
  await mkdir(weights, { recursive: true });
  for (const file of plan.files) {
    const contents = options.weights === 'zeros' ? null : (tensor: PlannedTensor) => syntheticTensorBytes(tensor, seed);
    const bytes = await writeSafetensorsFile(join(weights, file.name), file, contents);
    options.onFile?.(file.name, bytes);
  }
  for (const [name, text] of plan.texts) await writeFile(join(root, ...name.split('/')), text);
  if (options.tokenizer !== false) await writeFile(join(root, 'tokenizer.json'), publishedTokenizerText());
  return { path: weights, tensorBytes: plan.tensorBytes };
}

/**
 * Writes one file, a chunk at a time.
 *
 * @param contents the bytes of a tensor, chunk by chunk; null leaves a hole.
 * @returns the size of the file, in bytes.
 */
export async function writeSafetensorsFile(
  path: string,
  file: PlannedFile,
  contents: ((tensor: PlannedTensor) => Iterable<Uint8Array>) | null,
): Promise<number> {
  const handle = await open(path, 'wx');
  try {
    const header = safetensorsHeader(file);
    await handle.writeFile(header);
    const size = file.tensors.reduce((sum, { byteLength }) => sum + byteLength, header.length);
    if (contents === null) {
      await handle.truncate(size);
      return size;
    }
    for (const tensor of file.tensors) {
      for (const chunk of contents(tensor)) await handle.writeFile(chunk);
    }
    return size;
  } finally {
    await handle.close();
  }
}

/** The length and the JSON that a safetensors file begins with, as the published files have it: without metadata. */
export function safetensorsHeader({ tensors }: PlannedFile): Uint8Array {
  const entries: Record<string, unknown> = {};
  let offset = 0;
  for (const { name, dtype, shape, byteLength } of tensors) {
    entries[name] = { dtype, shape, data_offsets: [offset, offset + byteLength] };
    offset += byteLength;
  }
  const json = JSON.stringify(entries);
  // Spaces bring the first tensor to a multiple of eight.
  const header = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8), 'latin1');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header]);
}
