/**
 * Every way in which finding a model, or getting it from a hub, can fail.
 */

import { ModelsError } from '../errors.ts';

/** The command that gets a model, as it works outside of an installed folder too. */
const PULL = 'npx @switchyard/engine pull';

/** A text is no name of a model on a hub. */
export class InvalidModelNameError extends ModelsError {
  readonly code = 'INVALID_MODEL_NAME';
  readonly modelName: string;

  constructor(modelName: string, found: string) {
    super(
      `${JSON.stringify(modelName)} is not the name of a model`,
      found,
      'write OWNER/MODEL or OWNER/MODEL@REVISION, such as openai/gpt-oss-20b',
    );
    this.modelName = modelName;
  }
}

/** A variable of the environment that says how to reach the hub cannot be used. */
export class InvalidHubSettingError extends ModelsError {
  readonly code = 'INVALID_HUB_SETTING';
  readonly variable: string;

  constructor(variable: string, found: string, expected: string) {
    super(`The environment variable ${variable} cannot be used`, `found ${JSON.stringify(found)}`, `set ${expected}`);
    this.variable = variable;
  }
}

/** Neither a folder of that path nor a downloaded model of that name is there. */
export class ModelNotFoundError extends ModelsError {
  readonly code = 'MODEL_NOT_FOUND';
  readonly model: string;
  /** What a hub may have under this name; null where only a path can be meant. */
  readonly pulled: string | null;

  constructor(model: string, found: string, pulled: string | null) {
    super(
      `There is no model ${model}`,
      found,
      pulled === null
        ? `give the folder of a checkpoint, or a name after downloading it: ${PULL} openai/gpt-oss-20b`
        : `download it: ${PULL} ${pulled}`,
    );
    this.model = model;
    this.pulled = pulled;
  }
}

/** What a hub does not have. */
export type MissingOnHub = 'model' | 'revision' | 'file';

/** The hub has no such model, revision or file, or does not show it to this token. */
export class HubNotFoundError extends ModelsError {
  readonly code = 'HUB_NOT_FOUND';
  readonly missing: MissingOnHub;
  readonly url: string;

  constructor(missing: MissingOnHub, model: string, url: string) {
    const advice = {
      model: 'check the spelling; a private model needs HF_TOKEN',
      revision: 'name a branch, a tag or a commit that it has, after @',
      file: 'name a revision that has the file',
    };
    super(`The hub has no such ${missing} of ${model}`, `status 404 from ${url}`, advice[missing]);
    this.missing = missing;
    this.url = url;
  }
}

/** The hub wants a token, or another one, or its owner's consent. */
export class HubAccessError extends ModelsError {
  readonly code = 'HUB_ACCESS_DENIED';
  readonly status: number;

  constructor(model: string, status: number, hasToken: boolean, endpoint: string) {
    super(
      `The hub does not give out ${model}`,
      `status ${status} with ${hasToken ? 'the token that is set' : 'no token'}`,
      status === 403
        ? `accept the model's terms at ${endpoint}/${model} with the account of the token in HF_TOKEN`
        : `set HF_TOKEN to a token of ${endpoint}/settings/tokens that may read it`,
    );
    this.status = status;
  }
}

/** The hub answers too many requests already, and went on to say so. */
export class HubBusyError extends ModelsError {
  readonly code = 'HUB_BUSY';
  /** Seconds that the hub asks to wait; null where it does not say. */
  readonly retryAfterSeconds: number | null;

  constructor(url: string, retryAfterSeconds: number | null) {
    super(
      'The hub takes no more requests for now',
      `status 429 from ${url}${retryAfterSeconds === null ? '' : `, to be asked again in ${retryAfterSeconds} s`}`,
      'run the command again later, it goes on where it stopped; with HF_TOKEN the limits are higher',
    );
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** No answer came, or it broke off again and again. */
export class HubUnreachableError extends ModelsError {
  readonly code = 'HUB_UNREACHABLE';
  readonly url: string;

  constructor(url: string, found: string, cause?: unknown) {
    super(
      `The hub cannot be reached at ${new URL(url).origin}`,
      found,
      'check the network, HTTPS_PROXY and HF_ENDPOINT, and run the command again: it goes on where it stopped',
      cause,
    );
    this.url = url;
  }
}

/** The hub answered, and not as a hub does. */
export class HubResponseError extends ModelsError {
  readonly code = 'HUB_RESPONSE';
  readonly url: string;
  /** The HTTP status. */
  readonly status: number;

  constructor(url: string, status: number, found: string) {
    super(
      `The answer of ${url} cannot be used`,
      `${found} (status ${status})`,
      'try again later, or another hub by HF_ENDPOINT',
    );
    this.url = url;
    this.status = status;
  }
}

/** The hub may not be asked, and what is needed is not in the cache. */
export class HubOfflineError extends ModelsError {
  readonly code = 'HUB_OFFLINE';

  constructor(model: string, cacheFolder: string) {
    super(
      `${model} cannot be downloaded`,
      `HF_HUB_OFFLINE is set and ${cacheFolder} does not have all of it`,
      'take HF_HUB_OFFLINE away, or copy the model into that folder',
    );
  }
}

/** The repository has no weights that can be read. */
export class NoWeightsError extends ModelsError {
  readonly code = 'NO_WEIGHTS';

  constructor(model: string, files: readonly string[]) {
    const shown = files.slice(0, 8).join(', ');
    super(
      `${model} is no checkpoint that can be read`,
      `found ${files.length === 0 ? 'no file' : shown}${files.length > 8 ? ` and ${files.length - 8} more` : ''}`,
      'name a repository with config.json and safetensors weights in it, such as openai/gpt-oss-20b',
    );
  }
}

/** A downloaded file does not have the hash that the hub tells. What was downloaded of it is gone. */
export class ChecksumError extends ModelsError {
  readonly code = 'CHECKSUM_MISMATCH';
  readonly file: string;

  constructor(file: string, expected: string, found: string) {
    super(
      `${file} was damaged on its way`,
      `its hash is ${found}, the hub tells ${expected}`,
      'run the command again; if it goes wrong again, look for what changes files on the way: a proxy, a mirror, a bad disk',
    );
    this.file = file;
  }
}

/** The disk has no room for the download. */
export class DiskSpaceError extends ModelsError {
  readonly code = 'DISK_FULL';
  /** Bytes that are still to be written. */
  readonly neededBytes: number;
  /** Bytes that are free; null where writing failed and nobody counted. */
  readonly freeBytes: number | null;

  constructor(folder: string, neededBytes: number, freeBytes: number | null, cause?: unknown) {
    super(
      `There is no room for the download in ${folder}`,
      `${describeSize(neededBytes)} are to be written, ${freeBytes === null ? 'and the disk is full' : `${describeSize(freeBytes)} are free`}`,
      'make room, or name a folder on another disk by HF_HUB_CACHE',
      cause,
    );
    this.neededBytes = neededBytes;
    this.freeBytes = freeBytes;
  }
}

/** The folder of the cache may not be written. */
export class CacheNotWritableError extends ModelsError {
  readonly code = 'CACHE_NOT_WRITABLE';
  readonly path: string;

  constructor(path: string, cause: Error) {
    super(`The cache of models cannot be written`, cause.message, 'name a folder of yours by HF_HUB_CACHE', cause);
    this.path = path;
  }
}

/** Another process is downloading the same model into the same cache. */
export class PullInProgressError extends ModelsError {
  readonly code = 'PULL_IN_PROGRESS';

  constructor(model: string, holder: string, lockPath: string) {
    super(
      `${model} is being downloaded already`,
      `by ${holder}, as ${lockPath} tells`,
      'wait for it; where it is gone, this lock is free a minute after its last sign of life',
    );
  }
}

/** A tensor was asked for its bytes, and only its header is there. */
export class NotDownloadedError extends ModelsError {
  readonly code = 'NOT_DOWNLOADED';

  constructor(tensor: string) {
    super(`Tensor ${tensor} has no bytes here`, 'only headers were read', `download the model: ${PULL} OWNER/MODEL`);
  }
}

function describeSize(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
