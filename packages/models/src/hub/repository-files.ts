/**
 * What a repository holds at a revision, and which of it a checkpoint is made of.
 */

import type { ListFileEntry } from '@huggingface/hub';
import { HubResponseError, NoWeightsError } from './errors.ts';
import type { HubClient } from './hub-client.ts';
import { type ModelName, modelNameText } from './model-name.ts';

/** How the bytes of a file are checked. */
export interface Checksum {
  /** SHA-256 of the bytes, or SHA-1 of the bytes behind git's header for blobs. */
  readonly algorithm: 'sha256' | 'git-sha1';
  /** In small hexadecimal letters. Also the name of the file among the cache's blobs. */
  readonly hex: string;
}

/** One file of a repository. */
export interface RepositoryFile {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly checksum: Checksum;
}

/** A commit, and the files of it that are of use. */
export interface RepositoryRevision {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  /** The smallest first: what goes wrong at once goes wrong before gigabytes are there. */
  readonly files: readonly RepositoryFile[];
}

/** The hash of a commit. */
export const COMMIT = /^[0-9a-f]{40}$/;
const SHA1 = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/**
 * What is read of a checkpoint, and what its licence asks to travel with it. Weights of other formats and other layouts
 * (`original/`, `metal/`) would double or triple the download.
 */
const WANTED = /^(?:[\w.-]+\.(?:safetensors|json|jinja|txt)|README\.md|(?:LICEN[CS]E|NOTICE|USAGE_POLICY)[\w.-]*)$/i;

/**
 * Asks the hub which commit a revision is and what is in it.
 *
 * @throws NoWeightsError where no checkpoint is, and what HubClient.get throws
 */
export async function readRevision(client: HubClient, name: ModelName): Promise<RepositoryRevision> {
  const { commit, entries } = await askHub(client, name).catch((error: unknown) => {
    // What the library meets where an answer is no JSON, or JSON of another shape.
    if (error instanceof SyntaxError || error instanceof TypeError) throw notOfHub(client, name, error.message);
    throw error;
  });
  const files = entries.filter(({ type, path }) => type === 'file' && WANTED.test(path));
  const names = files.map(({ path }) => path);
  if (!names.includes('config.json') || !names.some((path) => path.endsWith('.safetensors'))) {
    const others = entries.map(({ path }) => path).filter((path) => !names.includes(path));
    throw new NoWeightsError(modelNameText(name), [...names, ...others]);
  }
  return { commit, files: files.map((entry) => fileOf(entry, client, name)).sort((a, b) => a.size - b.size) };
}

async function askHub(
  client: HubClient,
  { repository, revision }: ModelName,
): Promise<{ readonly commit: string; readonly entries: readonly ListFileEntry[] }> {
  // Loaded when asked for: a model that is here needs none of it.
  const { listFiles, modelInfo } = await import('@huggingface/hub');
  const where = {
    hubUrl: client.settings.endpoint,
    // The client has the token, the proxies and the retries.
    fetch: async (url: string | URL | Request): Promise<globalThis.Response> => {
      const address = url instanceof Request ? url.url : String(url);
      const { text, headers } = await client.getText(address, { accept: 'application/json' });
      const link = headers.get('link');
      return new Response(text, link === null ? {} : { headers: { link } });
    },
  };
  const { sha } = await modelInfo({ ...where, name: repository, revision, additionalFields: ['sha'] });
  if (typeof sha !== 'string' || !COMMIT.test(sha)) throw new TypeError(`it names no commit for ${revision}`);
  const entries: ListFileEntry[] = [];
  const repo = { type: 'model', name: repository } as const;
  for await (const entry of listFiles({ ...where, repo, revision: sha })) {
    if (typeof entry?.path !== 'string') throw new TypeError('it lists a file without a name');
    entries.push(entry);
  }
  return { commit: sha, entries };
}

const notOfHub = ({ settings }: HubClient, { repository }: ModelName, found: string): HubResponseError =>
  new HubResponseError(`${settings.endpoint}/${repository}`, 200, found);

/** A hub's word becomes the name of a file here: it must be a hash and nothing else. */
function fileOf({ path, size, oid, lfs }: ListFileEntry, client: HubClient, name: ModelName): RepositoryFile {
  const hex = lfs === undefined ? oid : lfs.oid;
  const algorithm = lfs === undefined ? 'git-sha1' : 'sha256';
  const isHash = typeof hex === 'string' && (lfs === undefined ? SHA1 : SHA256).test(hex);
  if (isHash && Number.isSafeInteger(size) && size >= 0) return { name: path, size, checksum: { algorithm, hex } };
  throw notOfHub(client, name, `it tells neither size nor hash of ${path}`);
}
