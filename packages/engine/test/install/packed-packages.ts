/** The packages as npm's registry would have them, and npm as a person runs it in a folder of their own. */

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const WINDOWS = process.platform === 'win32';
/** What the environment must not bring along: it is this repository's npm script's, or spares the install what it tests. */
const NOT_INHERITED =
  /^(npm_package_|npm_lifecycle_|npm_config_(local_prefix|ignore_scripts|onnxruntime)|INIT_CWD$|ONNXRUNTIME_NODE_)/i;

/** What a command did. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function quoted(word: string): string {
  return /^[\w@./:=-]+$/.test(word) ? word : `"${word}"`;
}

/** Runs a command of Node's, such as npm or npx, as from a terminal that knows nothing of this repository. */
export function run(folder: string, command: string, ...words: readonly string[]): Promise<Finished> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !NOT_INHERITED.test(name)));
  // On Windows these commands are scripts, which only a shell starts.
  const wordsToPass = WINDOWS ? words.map(quoted) : words;
  return new Promise((resolve) => {
    const options = { cwd: folder, env, shell: WINDOWS, maxBuffer: 2 ** 26 };
    execFile(command, wordsToPass, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}

/** Runs a command that must succeed. */
export async function must(folder: string, command: string, ...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(folder, command, ...words);
  if (code === 0) return stdout;
  throw new Error(`${[command, ...words].join(' ')} ended with ${code}: ${stderr || stdout}`);
}

/** Why the registry cannot be reached; null where it can. */
export async function registryFault(folder: string): Promise<string | null> {
  const { code, stderr } = await run(folder, 'npm', 'view', 'koffi', 'version', '--fetch-retries=0');
  return code === 0 ? null : (/npm error (?!code)(.*)/.exec(stderr)?.[1] ?? `npm view ended with ${code}`);
}

/** An empty folder, or one of a project that has no dependency yet. */
export async function emptyFolder(project = false): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'switchyard-install-'));
  if (project) await writeFile(join(folder, 'package.json'), '{ "private": true }\n');
  return folder;
}

/** Packs a built package of this repository and gives the tarball's path. */
export async function pack(name: string, destination: string): Promise<string> {
  // Only pnpm puts versions in the place of workspace:*. The one that installed this repository:
  const state = await readFile(join(ROOT, 'node_modules', '.modules.yaml'), 'utf8');
  const pnpm = /packageManager"?: *"?(pnpm@[\w.-]+)/.exec(state)?.[1];
  if (pnpm === undefined) throw new Error('node_modules/.modules.yaml does not name the pnpm that made it');
  await must(join(ROOT, 'packages', name), 'npx', '-y', pnpm, 'pack', '--pack-destination', destination);
  const found = (await readdir(destination)).find((file) => file.startsWith(`switchyard-${name}-`));
  if (found === undefined) throw new Error(`pnpm pack made no tarball of ${name}`);
  return join(destination, found);
}
