import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import type { GraphBuilder } from './graph.ts';
import { GraphSession } from './graph-session.ts';
import type { SessionOptions } from './graph-session.ts';
import { ortFormatConstants } from './ort-format.ts';
import type { Extent } from './ort-format.ts';
import { WeightReader } from './weight-reader.ts';

/**
 * A model in ONNX Runtime's own format whose weights are written in place, for graphs that are alike but for their weights.
 *
 * A session made from an ONNX model copies every constant, reorders the copy, and keeps those copies whose kernel does not
 * say that it has reordered them: of MatMulNBits's on x64 the block scales, a sixth of the memory, which are never read
 * again. From its own format it takes constants where they lie, so weights are converted straight to where they are
 * reordered from, and nothing is held twice.
 */
export class SessionTemplate {
  readonly #bytes: Uint8Array;
  readonly #constants: ReadonlyMap<string, Extent>;

  private constructor(bytes: Uint8Array, constants: ReadonlyMap<string, Extent>) {
    this.#bytes = bytes;
    this.#constants = constants;
  }

  /** Makes a template of a graph, whose weights are not read. ONNX Runtime writes it to a temporary file. */
  static async create(graph: GraphBuilder): Promise<SessionTemplate> {
    const folder = await mkdtemp(join(tmpdir(), 'switchyard-'));
    try {
      const path = join(folder, 'template.ort');
      const { model, externalData } = graph.buildWithoutWeights();
      const session = await InferenceSession.create(model, {
        externalData,
        executionProviders: ['cpu'],
        intraOpNumThreads: 1,
        logSeverityLevel: 3,
        // Constants that are equal, as these zeros are, would be merged.
        graphOptimizationLevel: 'disabled',
        optimizedModelFilePath: path,
        extra: { session: { save_model_format: 'ORT', disable_prepacking: '1' } },
      });
      await session.release();
      const bytes = readWhole(path);
      return new SessionTemplate(bytes, ortFormatConstants(bytes));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** Bytes of the template. */
  get byteLength(): number {
    return this.#bytes.length;
  }

  /** Another template, with the same weights. */
  copy(): SessionTemplate {
    return new SessionTemplate(this.#bytes.slice(), this.#constants);
  }

  /** Reads and converts the weights of a graph like the template's. */
  fill(graph: GraphBuilder, reader = new WeightReader()): void {
    for (const weight of graph.weights) {
      const targets = weight.constants.map(({ name }) => this.#target(name));
      reader.convert(() => weight.write(targets, reader));
    }
  }

  /** Overwrites the weights of a graph like the template's. */
  overwrite(graph: GraphBuilder, byte: number): void {
    for (const { constants } of graph.weights) {
      for (const { name } of constants) {
        this.#target(name).fill(byte);
      }
    }
  }

  /** A session with the weights that the template has now. */
  async createSession(options: SessionOptions): Promise<GraphSession> {
    return GraphSession.createFromOrtFormat(this.#bytes, options);
  }

  #target(name: string): Uint8Array {
    const extent = this.#constants.get(name);
    if (extent === undefined) {
      throw new RangeError(`ONNX Runtime's model has no constant ${name}`);
    }
    return this.#bytes.subarray(extent.offset, extent.offset + extent.length);
  }
}

/** A file in memory of its own, which starts at a page: constants must be aligned. */
function readWhole(path: string): Uint8Array {
  const descriptor = openSync(path, 'r');
  try {
    const bytes = new Uint8Array(fstatSync(descriptor).size);
    for (let done = 0; done < bytes.length; ) {
      const got = readSync(descriptor, bytes, done, bytes.length - done, done);
      if (got === 0) throw new RangeError(`${path} ends at byte ${done}`);
      done += got;
    }
    return bytes;
  } finally {
    closeSync(descriptor);
  }
}
