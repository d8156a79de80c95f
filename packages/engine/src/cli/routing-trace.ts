/**
 * The routing of one request as a file.
 */

import { reasonOf } from '../contain.ts';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import type { RoutingEvent } from '../events.ts';

/** One layer of a trace: rows are the prompt's tokens and then the generated ones. */
export interface TracedLayer {
  readonly layer: number;
  readonly experts: number[][];
  readonly weights: number[][];
}

/** Puts `routing` events together. */
export class RoutingTrace {
  readonly #layers: TracedLayer[] = [];

  add({ tokens, layers }: RoutingEvent): void {
    for (const { layer, ids, weights } of layers) {
      const traced = (this.#layers[layer] ??= { layer, experts: [], weights: [] });
      const topK = ids.length / tokens;
      for (let row = 0; row < tokens; row++) {
        traced.experts.push([...ids.subarray(row * topK, (row + 1) * topK)]);
        traced.weights.push([...weights.subarray(row * topK, (row + 1) * topK)]);
      }
    }
  }

  get layers(): readonly TracedLayer[] {
    return this.#layers;
  }
}

/** A file named by an option cannot be written. */
export class OutputFileError extends Error {
  override readonly name = 'OutputFileError';
  readonly code = 'OUTPUT_FILE';
  readonly path: string;

  constructor(path: string, cause: unknown) {
    const found = reasonOf(cause);
    super(`${path} cannot be written · found ${found} · give a path in a folder that may be written`, { cause });
    this.path = path;
  }
}

/**
 * Where a trace goes. It is written beside its path and takes its place when it is whole, so that a run that fails
 * leaves an earlier trace as it was; what is no plain file, such as a pipe, is written to as it is.
 */
export class TraceFile implements AsyncDisposable {
  readonly #path: string;
  readonly #written: string;
  readonly #handle: FileHandle;

  private constructor(path: string, written: string, handle: FileHandle) {
    this.#path = path;
    this.#written = written;
    this.#handle = handle;
  }

  /** Throws OutputFileError before there is anything to write. */
  static async create(path: string): Promise<TraceFile> {
    try {
      const there = await stat(path).catch(() => null);
      const written = there === null || there.isFile() ? `${path}.${process.pid}.part` : path;
      return new TraceFile(path, written, await open(written, 'w'));
    } catch (error) {
      throw new OutputFileError(path, error);
    }
  }

  async write(layers: readonly TracedLayer[]): Promise<void> {
    try {
      await this.#handle.writeFile(`${JSON.stringify(layers)}\n`);
      if (this.#written !== this.#path) await rename(this.#written, this.#path);
    } catch (error) {
      throw new OutputFileError(this.#path, error);
    }
  }

  /** Closes the file and removes what was not written to its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    if (this.#written !== this.#path) await rm(this.#written, { force: true });
  }
}
