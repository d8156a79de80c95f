import type { GptOssWeights } from '@switchyard/models';
import { MOST_SESSION_BYTES } from './expert-division.ts';
import type { DenseForm } from './expert-form.ts';
import { GraphSession, f32Output, f32Tensor } from './graph-session.ts';
import type { SessionOptions } from './graph-session.ts';
import { headGraph, headParts } from './head-graph.ts';
import type { HeadShape, VocabularyRange } from './head-graph.ts';

/** Most f32 logits of one run, 64 MiB: rows of a large vocabulary are taken in parts. */
const LOGITS_PER_RUN = 2 ** 24;

/** The final norm and the LM head, in as many sessions as its size needs. */
export class Head {
  readonly #config: HeadShape;
  readonly #parts: { readonly range: VocabularyRange; readonly session: GraphSession }[] = [];

  /** Holds no weights yet. */
  constructor(config: HeadShape) {
    this.#config = config;
  }

  /** @param mostSessionBytes of weights in a session, default 256 MiB. */
  async load(
    weights: Pick<GptOssWeights, 'finalNorm' | 'lmHead'>,
    form: DenseForm,
    options: SessionOptions,
    mostSessionBytes = MOST_SESSION_BYTES,
  ): Promise<void> {
    for (const range of headParts(this.#config, form, mostSessionBytes)) {
      const session = await GraphSession.create(headGraph(this.#config, weights, range, form), options);
      this.#parts.push({ range, session });
    }
  }

  /**
   * @param residual f32 [rows, hidden], after the last layer.
   * @returns f32 [rows, vocabulary].
   */
  async logits(residual: Float32Array): Promise<Float32Array> {
    const { hiddenSize, vocabularySize } = this.#config;
    const rows = residual.length / hiddenSize;
    const rowsPerRun = Math.max(1, Math.floor(LOGITS_PER_RUN / vocabularySize));
    if (rows <= rowsPerRun && this.#parts.length === 1) {
      return this.#run(residual, 0);
    }
    const logits = new Float32Array(rows * vocabularySize);
    for (let first = 0; first < rows; first += rowsPerRun) {
      const some = residual.subarray(first * hiddenSize, Math.min(first + rowsPerRun, rows) * hiddenSize);
      for (const [part, { range }] of this.#parts.entries()) {
        const width = range.end - range.first;
        const columns = await this.#run(some, part);
        for (let row = 0; row * width < columns.length; row++) {
          const place = (first + row) * vocabularySize + range.first;
          logits.set(columns.subarray(row * width, (row + 1) * width), place);
        }
      }
    }
    return logits;
  }

  async release(): Promise<void> {
    await Promise.all(this.#parts.map(({ session }) => session.release()));
  }

  async #run(residual: Float32Array, part: number): Promise<Float32Array> {
    const { hiddenSize } = this.#config;
    const feeds = { residual: f32Tensor(residual, [residual.length / hiddenSize, hiddenSize]) };
    return f32Output(await (this.#parts[part] as { readonly session: GraphSession }).session.run(feeds), 'logits');
  }
}
