/** Compiled kernels kept on disk, so that a shape is compiled once on a machine and not once in every process. */

import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentVariables, homeFolder } from '../environment.ts';
import { reasonOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { CompileRequest, KernelCompiler } from './kernel-compiler.ts';

/** First line of a cache file; the second is the SHA-256 of what follows. */
const MAGIC = 'switchyard kernel 1';
const HEADER_BYTES = MAGIC.length + 1 + 64 + 1;

/**
 * Where the cache lies: SWITCHYARD_CACHE_DIR, else XDG_CACHE_HOME/switchyard, else ~/.cache/switchyard. Null where
 * neither variable is set and the system names no home folder.
 */
export function defaultCacheFolder(environment: NodeJS.ProcessEnv = environmentVariables()): string | null {
  const own = environment['SWITCHYARD_CACHE_DIR'];
  if (own !== undefined && own !== '') return join(own, 'kernels');
  const xdg = environment['XDG_CACHE_HOME'];
  if (xdg !== undefined && xdg !== '') return join(xdg, 'switchyard', 'kernels');
  const home = homeFolder();
  return home === null ? null : join(home, '.cache', 'switchyard', 'kernels');
}

/** How to make a CompileCache. */
export interface CompileCacheOptions {
  /** Where entries lie. Defaults to `defaultCacheFolder()`; where that is null, none are kept on disk. */
  readonly folder?: string;
  /** Hears of entries that were unusable and folders that could not be written (`warn`). Defaults to silence. */
  readonly logger?: Logger;
}

/**
 * Compiles through a cache. Entries are written whole under a temporary name and then renamed, so that processes that
 * compile the same kernel at once never read half of one. No failure of the disk fails a compilation.
 */
export class CompileCache {
  /** Where entries lie; null where none are kept on disk. */
  readonly folder: string | null;
  readonly #logger: Logger | undefined;
  /** Compilations under way in this process, by key. */
  readonly #running = new Map<string, Promise<Uint8Array>>();
  #writable = true;

  constructor(options: CompileCacheOptions = {}) {
    this.folder = options.folder ?? defaultCacheFolder();
    this.#logger = options.logger;
    if (this.folder !== null) return;
    this.#logger?.warn?.(
      'No folder for compiled kernels: there is no home folder. Set SWITCHYARD_CACHE_DIR to keep them.',
    );
  }

  /** The file of a request: named by the SHA-256 of source, options and compiler version. The name alone without a folder. */
  fileOf(compiler: KernelCompiler, request: CompileRequest): string {
    const hash = createHash('sha256');
    for (const part of [request.source, compiler.version, ...compiler.options(request)]) {
      hash.update(`${Buffer.byteLength(part)}:`).update(part);
    }
    return join(this.folder ?? '', `${hash.digest('hex')}.bin`);
  }

  /**
   * The code object of a request, from disk or compiled now.
   *
   * @throws what `compiler.compile` throws
   */
  async compile(compiler: KernelCompiler, request: CompileRequest): Promise<Uint8Array> {
    const file = this.fileOf(compiler, request);
    const running = this.#running.get(file);
    if (running !== undefined) return running;
    const work = this.#fetch(file, compiler, request);
    this.#running.set(file, work);
    try {
      return await work;
    } finally {
      this.#running.delete(file);
    }
  }

  async #fetch(file: string, compiler: KernelCompiler, request: CompileRequest): Promise<Uint8Array> {
    const { folder } = this;
    if (folder === null) return compiler.compile(request);
    const kept = await this.#read(file);
    if (kept !== null) return kept;
    const code = compiler.compile(request);
    await this.#write(folder, file, code);
    return code;
  }

  async #read(file: string): Promise<Uint8Array | null> {
    let content: Buffer;
    try {
      content = await readFile(file);
    } catch (error) {
      if (!isMissing(error)) this.#logger?.warn?.(`Kernel cache entry ${file} cannot be read (${reasonOf(error)}).`);
      return null;
    }
    // A copy, because a code object must start at an aligned address and a Buffer may lie anywhere in a pool.
    const code = new Uint8Array(content.subarray(HEADER_BYTES));
    if (code.length > 0 && content.subarray(0, HEADER_BYTES).equals(headerOf(code))) return code;
    this.#logger?.warn?.(`Kernel cache entry ${file} is corrupt; it is compiled again.`);
    return null;
  }

  async #write(folder: string, file: string, code: Uint8Array): Promise<void> {
    if (!this.#writable) return;
    const temporary = `${file}.${process.pid}.${randomUUID()}.tmp`;
    try {
      await mkdir(folder, { recursive: true });
      await writeFile(temporary, Buffer.concat([headerOf(code), code]));
      await rename(temporary, file);
    } catch (error) {
      this.#writable = false;
      this.#logger?.warn?.(`Kernel cache ${folder} cannot be written (${reasonOf(error)}); going on without.`);
      await rm(temporary, { force: true }).catch(() => undefined);
    }
  }
}

function headerOf(code: Uint8Array): Buffer {
  return Buffer.from(`${MAGIC}\n${createHash('sha256').update(code).digest('hex')}\n`, 'latin1');
}

function isMissing(error: unknown): boolean {
  // By its code: to a test runner's sandbox, errors of node:fs are of another realm and no instances of its Error.
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT';
}
