/**
 * What a checkpoint on a hub is, before it is downloaded: config.json and the headers of its weights, some hundred
 * kilobytes of gigabytes.
 */

import { describeCheckpoint, type CheckpointDescription } from '../checkpoint-description.ts';
import { parseJsonBytes } from '../files/json-text.ts';
import { parseGptOssConfig } from '../gpt-oss/config.ts';
import { MAX_HEADER_BYTES, parseSafetensorsHeader, type TensorEntry } from '../files/safetensors.ts';
import type { Tensor, TensorDtype } from '../tensors/tensor.ts';
import { HubOfflineError, HubResponseError, NoWeightsError, NotDownloadedError } from './errors.ts';
import { fetchBytes } from './fetch-range.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';
import { hubSettings, type HubSettings } from './hub-settings.ts';
import { modelNameText, parseModelName } from './model-name.ts';
import { readRevision, type RepositoryFile } from './repository-files.ts';

/** A checkpoint of which only the headers are known. `bytes` of its tensors throws NotDownloadedError. */
export interface RemoteCheckpoint extends CheckpointDescription {
  /** `OWNER/MODEL`, with `@REVISION` where it is not the default. */
  readonly name: string;
  readonly commit: string;
  /** Bytes of all tensors. */
  readonly tensorBytes: number;
  /** Bytes that downloading it takes. */
  readonly downloadBytes: number;
}

/** How to ask. */
export interface RemoteCheckpointOptions extends Pick<HubClientOptions, 'signal' | 'attempts' | 'backoff'> {
  /** Default those of the environment. */
  readonly settings?: HubSettings;
}

/** Most headers are shorter: then one request a file is enough. */
const FIRST_BYTES = 128 * 1024;
const LENGTH_BYTES = 8;
/** A config.json has some kilobytes. */
const MAX_CONFIG_BYTES = 2 ** 20;

/**
 * Reads the headers of a checkpoint on a hub.
 *
 * @param model `OWNER/MODEL` or `OWNER/MODEL@REVISION`
 * @throws the errors of errors.ts, and those of a bad checkpoint as openSnapshot does
 */
export async function readRemoteCheckpoint(
  model: string,
  options: RemoteCheckpointOptions = {},
): Promise<RemoteCheckpoint> {
  const name = parseModelName(model);
  const settings = options.settings ?? hubSettings();
  if (settings.offline) throw new HubOfflineError(modelNameText(name), settings.cacheFolder);
  await using client = new HubClient(settings, name.repository, options);
  const { commit, files } = await readRevision(client, name);
  const configFile = files.find((file) => file.name === 'config.json');
  if (configFile === undefined) throw new NoWeightsError(modelNameText(name), []);
  const url = client.fileUrl(commit, configFile.name);
  if (configFile.size > MAX_CONFIG_BYTES) throw new HubResponseError(url, 200, `it has ${configFile.size} bytes`);
  const json = parseJsonBytes(await fetchBytes(client, url, { begin: 0, end: configFile.size }, configFile.size), url);
  const tensors = new Map<string, Tensor>();
  let tensorBytes = 0;
  for (const file of weightFiles(files)) {
    const { entries, dataBytes } = await readRemoteHeader(client, commit, file);
    tensorBytes += dataBytes;
    for (const entry of entries) tensors.set(entry.name, new HeaderTensor(entry));
  }
  return {
    ...describeCheckpoint({
      parsed: parseGptOssConfig(json, url),
      configPath: url,
      tensors,
      folder: modelNameText(name),
    }),
    name: modelNameText(name),
    commit,
    tensorBytes,
    downloadBytes: files.reduce((sum, { size }) => sum + size, 0),
  };
}

/** As opening a folder does it: model.safetensors has everything, else every file that there is. */
function weightFiles(files: readonly RepositoryFile[]): readonly RepositoryFile[] {
  const single = files.filter(({ name }) => name === 'model.safetensors');
  return single.length > 0 ? single : files.filter(({ name }) => name.endsWith('.safetensors'));
}

async function readRemoteHeader(
  client: HubClient,
  commit: string,
  file: RepositoryFile,
): Promise<{ readonly entries: readonly TensorEntry[]; readonly dataBytes: number }> {
  const { name, size } = file;
  const url = client.fileUrl(commit, name);
  const head = await fetchBytes(client, url, { begin: 0, end: Math.min(FIRST_BYTES, size) }, size);
  if (head.length < LENGTH_BYTES) throw new HubResponseError(url, 200, `it has ${size} bytes and no header`);
  const length = new DataView(head.buffer).getBigUint64(0, true);
  const end = LENGTH_BYTES + Number(length);
  if (length > BigInt(MAX_HEADER_BYTES) || end > size) {
    throw new HubResponseError(url, 200, `it claims a header of ${length} bytes`);
  }
  const rest = end > head.length ? await fetchBytes(client, url, { begin: head.length, end }, size) : new Uint8Array();
  const header = Buffer.concat([head.subarray(LENGTH_BYTES, Math.min(end, head.length)), rest]);
  const { entries, dataStart } = parseSafetensorsHeader(header, size, name);
  return { entries, dataBytes: size - dataStart };
}

/** A tensor without its bytes. */
class HeaderTensor implements Tensor {
  readonly name: string;
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];

  constructor({ name, dtype, shape }: TensorEntry) {
    this.name = name;
    this.dtype = dtype;
    this.shape = shape;
  }

  get bytes(): Uint8Array {
    throw new NotDownloadedError(this.name);
  }
}
