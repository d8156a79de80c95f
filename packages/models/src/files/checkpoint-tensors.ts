import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { FileNotReadableError, InvalidShardIndexError, MissingShardError } from '../errors.ts';
import { isJsonObject } from './json-text.ts';
import { readJsonFile } from './json-file.ts';
import { openSafetensors, type SafetensorsFile, type SafetensorsOptions } from './safetensors.ts';
import type { Tensor } from '../tensors/tensor.ts';

/** The tensors of a checkpoint folder, whatever number of files they are in. */
export interface CheckpointTensors extends Disposable {
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Bytes of all tensors. */
  readonly tensorBytes: number;
  /** Closes the files. */
  dispose(): void;
}

const INDEX_FILE = 'model.safetensors.index.json';
const SINGLE_FILE = 'model.safetensors';

/**
 * Opens the safetensors files of a folder: the shards that model.safetensors.index.json names, or model.safetensors, or
 * else every .safetensors file there is.
 *
 * @throws FileNotReadableError, MissingShardError, InvalidShardIndexError and the errors of openSafetensors
 */
export function openCheckpointTensors(folder: string, options: SafetensorsOptions = {}): CheckpointTensors {
  const indexPath = join(folder, INDEX_FILE);
  const index = existsSync(indexPath) ? readShardIndex(indexPath) : null;
  const names = index === null ? findFiles(folder) : [...new Set(index.values())].sort();
  const files: SafetensorsFile[] = [];
  try {
    for (const name of names) {
      files.push(index === null ? openSafetensors(join(folder, name), options) : openShard(folder, name, options));
    }
    const tensors = collect(files, folder);
    if (index !== null) checkIndex(index, files, indexPath);
    const dispose = (): void => {
      for (const file of files) file.dispose();
    };
    return {
      tensors,
      tensorBytes: files.reduce((sum, file) => sum + file.tensorBytes, 0),
      dispose,
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    for (const file of files) file.dispose();
    throw error;
  }
}

function findFiles(folder: string): string[] {
  if (existsSync(join(folder, SINGLE_FILE))) return [SINGLE_FILE];
  const advice = 'point to a folder with config.json and safetensors weights in it';
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith('.safetensors'));
  } catch (cause) {
    throw new FileNotReadableError(folder, advice, cause);
  }
  if (names.length === 0) throw new FileNotReadableError(join(folder, SINGLE_FILE), advice);
  return names.sort();
}

function openShard(folder: string, name: string, options: SafetensorsOptions): SafetensorsFile {
  const path = join(folder, name);
  if (!existsSync(path)) throw new MissingShardError(folder, name);
  return openSafetensors(path, options);
}

/** The file of each tensor. */
function readShardIndex(path: string): ReadonlyMap<string, string> {
  const json = readJsonFile(path);
  const weightMap = isJsonObject(json) ? json['weight_map'] : undefined;
  if (!isJsonObject(weightMap)) throw new InvalidShardIndexError(path, 'weight_map is no object');
  const files = new Map<string, string>();
  for (const [tensor, file] of Object.entries(weightMap)) {
    // A name with a path in it could reach out of the folder.
    if (typeof file !== 'string' || !/^[^/\\\0]+\.safetensors$/.test(file)) {
      throw new InvalidShardIndexError(path, `tensor ${tensor} is said to be in ${JSON.stringify(file)}`);
    }
    files.set(tensor, file);
  }
  if (files.size === 0) throw new InvalidShardIndexError(path, 'weight_map is empty');
  return files;
}

function collect(files: readonly SafetensorsFile[], folder: string): ReadonlyMap<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const file of files) {
    for (const [name, tensor] of file.tensors) {
      if (tensors.has(name)) throw new InvalidShardIndexError(folder, `tensor ${name} is in two files`);
      tensors.set(name, tensor);
    }
  }
  return tensors;
}

function checkIndex(index: ReadonlyMap<string, string>, files: readonly SafetensorsFile[], path: string): void {
  const found = new Map(files.flatMap((file) => [...file.tensors.keys()].map((name) => [name, basename(file.path)])));
  for (const [tensor, file] of index) {
    if (found.get(tensor) !== file) {
      const where = found.get(tensor);
      throw new InvalidShardIndexError(
        path,
        `tensor ${tensor} is not in ${file}${where === undefined ? '' : ` but in ${where}`}`,
      );
    }
  }
  for (const [tensor, file] of found) {
    if (!index.has(tensor)) throw new InvalidShardIndexError(path, `tensor ${tensor} of ${file} is not listed`);
  }
}
