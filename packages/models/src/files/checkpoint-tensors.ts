import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { FileNotReadableError, InvalidShardIndexError, MissingShardError, ModelsError } from '../errors.ts';
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
/** Weights in formats that are not read. */
const OTHER_WEIGHTS = /\.(?:gguf|bin|pt|pth|ckpt|onnx|h5|msgpack)$/;

/**
 * Opens the safetensors files of a folder, in the order in which transformers looks for them: model.safetensors, or the
 * shards that model.safetensors.index.json names, or else every .safetensors file there is.
 *
 * An index is a list of files: which tensors there are, and where, is what the files themselves say. It may be older than
 * they are, from before a model was merged, converted or saved in another number of files.
 *
 * @throws FileNotReadableError, MissingShardError, InvalidShardIndexError and the errors of openSafetensors
 */
export function openCheckpointTensors(folder: string, options: SafetensorsOptions = {}): CheckpointTensors {
  const files: SafetensorsFile[] = [];
  try {
    for (const name of findFiles(folder)) files.push(openShard(folder, name, options));
    const tensors = collect(files, folder);
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
  const indexPath = join(folder, INDEX_FILE);
  if (existsSync(join(folder, SINGLE_FILE))) return filesBesideSingle(indexPath);
  if (existsSync(indexPath)) return readShardIndex(indexPath);
  const advice = 'point to a folder with config.json and safetensors weights in it';
  let all: string[];
  try {
    all = readdirSync(folder);
  } catch (cause) {
    throw new FileNotReadableError(folder, advice, cause);
  }
  const names = all.filter((name) => name.endsWith('.safetensors'));
  if (names.length > 0) return names.sort();
  const other = all.find((name) => OTHER_WEIGHTS.test(name));
  throw new FileNotReadableError(
    join(folder, SINGLE_FILE),
    other === undefined ? advice : `take the model's safetensors files: weights as in ${other} are not read`,
  );
}

/** model.safetensors has everything, unless an index counts it among several shards. */
function filesBesideSingle(indexPath: string): string[] {
  if (!existsSync(indexPath)) return [SINGLE_FILE];
  try {
    const shards = readShardIndex(indexPath);
    return shards.includes(SINGLE_FILE) ? shards : [SINGLE_FILE];
  } catch (error) {
    if (!(error instanceof ModelsError)) throw error;
    // Nobody needs the index here.
    return [SINGLE_FILE];
  }
}

function openShard(folder: string, name: string, options: SafetensorsOptions): SafetensorsFile {
  const path = join(folder, name);
  if (!existsSync(path)) throw new MissingShardError(folder, name);
  return openSafetensors(path, options);
}

/** The names of the files that an index lists, each once. */
function readShardIndex(path: string): string[] {
  const json = readJsonFile(path);
  const weightMap = isJsonObject(json) ? json['weight_map'] : undefined;
  if (!isJsonObject(weightMap)) throw new InvalidShardIndexError(path, 'weight_map is no object');
  const files = new Set<string>();
  for (const [tensor, file] of Object.entries(weightMap)) {
    // A name with a path in it could reach out of the folder.
    if (typeof file !== 'string' || !/^[^/\\\0]+\.safetensors$/.test(file)) {
      throw new InvalidShardIndexError(path, `tensor ${tensor} is said to be in ${JSON.stringify(file)}`);
    }
    files.add(file);
  }
  if (files.size === 0) throw new InvalidShardIndexError(path, 'weight_map is empty');
  return [...files].sort();
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
