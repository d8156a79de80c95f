/**
 * Where the hub is and where its files are kept, by the variables that Hugging Face's own tools read.
 *
 * @see https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
 */

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { InvalidHubSettingError } from './errors.ts';

/** How to reach a hub. */
export interface HubSettings {
  /** Such as `https://huggingface.co`, without a slash at the end. */
  readonly endpoint: string;
  /** Sent to the endpoint, and to no other host that it redirects to; null for none. */
  readonly token: string | null;
  /** The folder that holds `models--OWNER--MODEL`. Absolute. */
  readonly cacheFolder: string;
  /** Whether the network may not be used. */
  readonly offline: boolean;
  /** How long the hub may stay silent, in milliseconds, 1 and up. */
  readonly timeoutMs: number;
  /** Proxies for plain and for secure addresses, and the hosts that are reached without; undefined for none. */
  readonly proxies: {
    readonly http: string | undefined;
    readonly https: string | undefined;
    readonly without: string | undefined;
  };
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_ENDPOINT = 'https://huggingface.co';
const DEFAULT_TIMEOUT_SECONDS = 30;
const MS_PER_SECOND = 1000;
/** Timers of Node cannot wait longer than 2^31 ms. */
const LONGEST_TIMEOUT_SECONDS = 2_000_000;
const YES = /^(?:1|on|yes|true)$/i;

/**
 * The settings of this process.
 *
 * | variable | what it sets | default |
 * |---|---|---|
 * | `HF_ENDPOINT` | the hub or a mirror of it | `https://huggingface.co` |
 * | `HF_TOKEN`, else the file that `HF_TOKEN_PATH` names | the token | the file `token` in `HF_HOME`, where `hf auth login` puts it |
 * | `HF_HUB_DISABLE_IMPLICIT_TOKEN` | leaves out a token that is not in `HF_TOKEN` | off |
 * | `HF_HUB_CACHE` | the cache | `hub` in `HF_HOME` |
 * | `HF_HOME` | the folder of Hugging Face's tools | `huggingface` in `XDG_CACHE_HOME`, else in `~/.cache` |
 * | `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE` | offline | off |
 * | `HF_HUB_DOWNLOAD_TIMEOUT` | the timeout, in seconds | 30 |
 * | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, also in small letters | the proxies | none |
 *
 * @throws InvalidHubSettingError
 */
export function hubSettings(environment: Environment = process.env, home = homedir()): HubSettings {
  const { valueOf, folder, hubHome, cacheFolder } = readFolders(environment, home);
  const isOn = (name: string): boolean => YES.test(valueOf(name) ?? '');
  const everyProxy = valueOf('ALL_PROXY', 'all_proxy');
  return {
    endpoint: endpointOf(valueOf('HF_ENDPOINT') ?? DEFAULT_ENDPOINT),
    token: checkedToken(
      valueOf('HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN') ??
        (isOn('HF_HUB_DISABLE_IMPLICIT_TOKEN') ? null : storedToken(folder('HF_TOKEN_PATH') ?? join(hubHome, 'token'))),
    ),
    cacheFolder,
    offline: isOn('HF_HUB_OFFLINE') || isOn('TRANSFORMERS_OFFLINE'),
    timeoutMs: timeoutOf(valueOf('HF_HUB_DOWNLOAD_TIMEOUT')),
    proxies: {
      http: valueOf('http_proxy', 'HTTP_PROXY') ?? everyProxy,
      https: valueOf('https_proxy', 'HTTPS_PROXY') ?? everyProxy,
      without: valueOf('no_proxy', 'NO_PROXY'),
    },
  };
}

/** The cache of this process, as in `HubSettings.cacheFolder`. Nothing else of the settings is looked at. */
export function hubCacheFolder(environment: Environment = process.env, home = homedir()): string {
  return readFolders(environment, home).cacheFolder;
}

interface Folders {
  /** The first of these variables that is set and not blank. */
  readonly valueOf: (...names: readonly string[]) => string | undefined;
  /** The same as an absolute path. */
  readonly folder: (...names: readonly string[]) => string | undefined;
  readonly hubHome: string;
  readonly cacheFolder: string;
}

function readFolders(environment: Environment, home: string): Folders {
  const valueOf = (...names: readonly string[]): string | undefined =>
    names.map((name) => environment[name]?.trim()).find((value) => value !== undefined && value !== '');
  const folder = (...names: readonly string[]): string | undefined => {
    const value = valueOf(...names);
    return value === undefined ? undefined : resolve(value.replace(/^~(?=$|[/\\])/, home));
  };
  const hubHome = folder('HF_HOME') ?? join(folder('XDG_CACHE_HOME') ?? join(home, '.cache'), 'huggingface');
  const cacheFolder = folder('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE') ?? join(hubHome, 'hub');
  return { valueOf, folder, hubHome, cacheFolder };
}

function endpointOf(text: string): string {
  const expected = 'the address of a hub, such as https://huggingface.co';
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new InvalidHubSettingError('HF_ENDPOINT', text, expected);
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new InvalidHubSettingError('HF_ENDPOINT', text, expected);
  }
  return text.replace(/\/+$/, '');
}

function timeoutOf(text: string | undefined): number {
  const seconds = text === undefined ? DEFAULT_TIMEOUT_SECONDS : Number(text);
  if (seconds > 0 && seconds <= LONGEST_TIMEOUT_SECONDS) return Math.ceil(seconds * MS_PER_SECOND);
  throw new InvalidHubSettingError('HF_HUB_DOWNLOAD_TIMEOUT', text ?? '', 'seconds above 0');
}

/** A token that no header can hold would fail far from where it was set. */
function checkedToken(token: string | null): string | null {
  if (token === null || /^[\x21-\x7e]+$/.test(token)) return token;
  // Not shown: whatever it is, it may be a secret.
  throw new InvalidHubSettingError('HF_TOKEN', `${token.length} characters`, 'a token, which has no blanks in it');
}

/** What `hf auth login` keeps; null where nobody has logged in. */
function storedToken(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim() || null;
  } catch {
    return null;
  }
}
