/**
 * One download of a repository at a time: two processes that wrote to one file would damage it.
 */

import { mkdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { PullInProgressError } from './errors.ts';

/** How often a holder gives a sign of life. */
const BEAT_MS = 5000;
/** A holder that has given none for so long is gone. */
const SILENCE_MS = 60_000;

/** A lock that this process holds. */
export class RepositoryLock {
  readonly #path: string;
  readonly #timer: NodeJS.Timeout;

  private constructor(path: string) {
    this.#path = path;
    this.#timer = setInterval(() => {
      const now = new Date();
      // Whoever took the file away has the lock, or it is free: nothing to be done about it here.
      utimes(path, now, now).catch(() => undefined);
    }, BEAT_MS).unref();
  }

  /**
   * Takes the lock, also from a holder that is gone.
   *
   * @param folder made where it does not exist
   * @param model names what is downloaded, for the error
   * @throws PullInProgressError
   */
  static async take(folder: string, model: string): Promise<RepositoryLock> {
    await mkdir(folder, { recursive: true });
    const path = join(folder, 'switchyard.lock');
    for (let tries = 0; ; tries++) {
      try {
        // 'wx' fails where the file is there: only one process makes it.
        await writeFile(path, `${process.pid} ${hostname()}\n`, { flag: 'wx' });
        return new RepositoryLock(path);
      } catch (error) {
        if (!isExisting(error)) throw error;
        const holder = await livingHolder(path);
        if (holder !== null || tries > 0) throw new PullInProgressError(model, holder ?? 'another process', path);
        await rm(path, { force: true });
      }
    }
  }

  /** Frees the lock. */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    await rm(this.#path, { force: true });
  }
}

const isExisting = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'EEXIST';

/** Who holds a lock, in words; null where nobody does any more. */
async function livingHolder(path: string): Promise<string | null> {
  try {
    const [pid = '', host = ''] = (await readFile(path, 'utf8')).trim().split(' ');
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > SILENCE_MS) return null;
    if (host === hostname() && !isRunning(Number(pid))) return null;
    return `process ${pid} of ${host}`;
  } catch {
    return null;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process is one as well.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
