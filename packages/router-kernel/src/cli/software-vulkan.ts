/**
 * Running a command on SwiftShader, a software Vulkan driver. The Vulkan loader reads its environment when the process
 * starts, so the command runs again in a child process whose environment names the driver.
 */

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { BackendUnavailableError } from '../errors.ts';
import type { CliIo } from './command.ts';

const CHILD_MARK = 'SWITCHYARD_SOFTWARE_VULKAN';
/** The npm package that carries SwiftShader, as a tar archive under Brotli. */
const DRIVER_PACKAGE = '@sparticuz/chromium';
const TAR_BLOCK = 512;

/** Whether this process was started by `runOnSoftwareVulkan`. */
export function isOnSoftwareVulkan(): boolean {
  return process.env[CHILD_MARK] === '1';
}

/**
 * Runs this program with other arguments on SwiftShader.
 *
 * @returns the exit code
 * @throws BackendUnavailableError where the npm package that carries SwiftShader is not installed
 */
export async function runOnSoftwareVulkan(args: readonly string[], io: CliIo): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'switchyard-swiftshader-'));
  try {
    for (const file of tarFiles(brotliDecompressSync(await readDriverArchive()))) {
      await writeFile(join(folder, file.name), file.content, { mode: 0o755 });
    }
    return await runChild(args, folder, io);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function readDriverArchive(): Promise<Buffer> {
  try {
    return await readFile(new URL('../bin/swiftshader.tar.br', import.meta.resolve(DRIVER_PACKAGE)));
  } catch (cause) {
    throw new BackendUnavailableError(
      'webgpu',
      `SwiftShader was not found: the npm package ${DRIVER_PACKAGE}, which carries it, could not be read. Install it with npm install --save-dev ${DRIVER_PACKAGE}, or leave out --software.`,
      [DRIVER_PACKAGE],
      { cause },
    );
  }
}

/** The regular files of a tar archive: a header block with name, octal size and type, then the content in blocks. */
function tarFiles(archive: Buffer): { name: string; content: Buffer }[] {
  const files: { name: string; content: Buffer }[] = [];
  const text = (start: number, length: number): string =>
    archive.toString('latin1', start, start + length).split('\0', 1)[0] ?? '';
  for (let header = 0; header + TAR_BLOCK <= archive.length; ) {
    const name = basename(text(header, 100));
    if (name === '') break;
    const size = Number.parseInt(text(header + 124, 12), 8);
    const type = text(header + 156, 1);
    const start = header + TAR_BLOCK;
    if (type === '0' || type === '') files.push({ name, content: archive.subarray(start, start + size) });
    header = start + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
  return files;
}

function runChild(args: readonly string[], folder: string, io: CliIo): Promise<number> {
  const program = process.argv[1] ?? '';
  const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
    env: {
      ...process.env,
      [CHILD_MARK]: '1',
      VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json'),
      LD_LIBRARY_PATH: [folder, process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stop = (): void => void child.kill('SIGINT');
  io.signal.addEventListener('abort', stop, { once: true });
  child.stdout.setEncoding('utf8').on('data', io.out);
  child.stderr.setEncoding('utf8').on('data', io.err);
  return new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (signal !== null) io.err(`The verification on SwiftShader was ended by ${signal}.\n`);
      resolve(code ?? 1);
    });
  }).finally(() => io.signal.removeEventListener('abort', stop));
}
