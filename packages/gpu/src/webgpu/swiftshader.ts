/** SwiftShader, a Vulkan driver in software, from the npm package @sparticuz/chromium: found, unpacked and loaded. */

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import { BackendUnavailableError } from '../errors.ts';

const DRIVER_DESCRIPTION = 'vk_swiftshader_icd.json';
const VULKAN_LOADER = 'libvulkan.so.1';

/** Keeps the Vulkan loader in the process. */
let loadedLibrary: unknown = null;

/**
 * Makes this process's Vulkan find SwiftShader, before Dawn looks for a driver. Nothing is written to the system: the
 * files go to a folder of the system's temporary directory.
 *
 * @throws BackendUnavailableError where the package is not installed, or the platform is not Linux on x64
 */
export async function loadSwiftShader(): Promise<void> {
  if (loadedLibrary !== null) return;
  const directory = await unpackSwiftShader().catch((cause: unknown) => {
    // Reading the package and writing to the temporary folder may fail in as many ways as there are systems.
    if (cause instanceof BackendUnavailableError) throw cause;
    throw unavailable('The software adapter could not be unpacked', String(cause), { cause });
  });
  process.env['VK_ICD_FILENAMES'] = join(directory, DRIVER_DESCRIPTION);
  process.env['VK_DRIVER_FILES'] = join(directory, DRIVER_DESCRIPTION);
  const { load } = await import('koffi');
  // Dawn opens "libvulkan.so.1" by that name; a library of that name which is in the process already is the one it gets.
  loadedLibrary = load(join(directory, VULKAN_LOADER));
}

/**
 * Unpacks SwiftShader once for each version of the package.
 *
 * @returns the folder that holds the driver, its description and a Vulkan loader
 * @throws BackendUnavailableError
 */
export async function unpackSwiftShader(): Promise<string> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw unavailable('The software adapter is for Linux on x64 alone', `${process.platform} on ${process.arch}`);
  }
  const archive = findArchive();
  const version = await packageVersion(archive);
  const directory = join(tmpdir(), `switchyard-swiftshader-${version}-${process.getuid?.() ?? 0}`);
  if (existsSync(join(directory, DRIVER_DESCRIPTION))) return directory;
  const tar = await promisify(brotliDecompress)(await readFile(archive));
  const unfinished = await mkdtemp(join(tmpdir(), 'switchyard-swiftshader-'));
  await unpackTar(tar, unfinished);
  try {
    await rename(unfinished, directory);
  } catch (cause) {
    await rm(unfinished, { recursive: true });
    // Another process was faster.
    if (!existsSync(join(directory, DRIVER_DESCRIPTION))) {
      throw unavailable(`The software adapter could not be unpacked to ${directory}`, String(cause), { cause });
    }
  }
  return directory;
}

function findArchive(): string {
  const require = createRequire(import.meta.url);
  try {
    // The package exports its code alone, so its files are found from there.
    const main = require.resolve('@sparticuz/chromium');
    let directory = dirname(main);
    while (!existsSync(join(directory, 'bin', 'swiftshader.tar.br'))) {
      const parent = dirname(directory);
      if (parent === directory) throw new Error(`no bin/swiftshader.tar.br above ${main}`);
      directory = parent;
    }
    return join(directory, 'bin', 'swiftshader.tar.br');
  } catch (cause) {
    throw unavailable(
      'The software adapter is SwiftShader, of the npm package @sparticuz/chromium',
      'no such package',
      {
        cause,
      },
    );
  }
}

async function packageVersion(archive: string): Promise<string> {
  const text = await readFile(join(dirname(dirname(archive)), 'package.json'), 'utf8');
  const manifest: unknown = JSON.parse(text);
  const version: unknown = typeof manifest === 'object' && manifest !== null && Reflect.get(manifest, 'version');
  return typeof version === 'string' ? version : 'unknown';
}

/** Unpacks the plain files of a tar archive (POSIX ustar: 512-byte headers and blocks) into one folder. */
async function unpackTar(tar: Buffer, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  let at = 0;
  while (at + 512 <= tar.length && tar[at] !== 0) {
    const name = tar.toString('utf8', at, at + 100).replace(/\0.*$/, '');
    const size = Number.parseInt(tar.toString('utf8', at + 124, at + 136), 8);
    const type = String.fromCharCode(tar[at + 156] ?? 0);
    const file = name.split('/').at(-1) ?? '';
    if ((type === '0' || type === '\0') && file !== '') {
      await writeFile(join(directory, file), tar.subarray(at + 512, at + 512 + size), { mode: 0o755 });
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

function unavailable(what: string, found: string, options?: ErrorOptions): BackendUnavailableError {
  const action = 'install it (npm install --save-dev @sparticuz/chromium), or use a GPU';
  const message = `${what} · found ${found} · ${action}`;
  return new BackendUnavailableError('webgpu', message, [message], options);
}
