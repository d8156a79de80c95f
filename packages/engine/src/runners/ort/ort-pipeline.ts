import type { GptOssConfig } from '@switchyard/models';
import type { RouterOutput } from '@switchyard/router-kernel';
import type { Tensor } from 'onnxruntime-node';
import type { LayerPipeline } from '../../moe-layer.ts';
import { f32Output, f32Tensor, i32Tensor, i64Tensor } from './graph-session.ts';
import type { Feeds, GraphSession } from './graph-session.ts';
import type { KvView, NewRows } from './kv-cache.ts';
import { planOf, planOfRows, selectRows } from './plan-inputs.ts';
import type { RotaryTables } from './rotary-tables.ts';

/** A step whose sequences all take equally many tokens. */
export interface RectangularStep {
  /** Embedding rows, f32 [batch * length, hidden]. */
  readonly embeddings: Float32Array;
  /** Tokens of each sequence. */
  readonly length: number;
  readonly view: KvView;
  /** Rows (batch * length + position) whose logits are wanted, ascending. */
  readonly wantedRows: readonly number[];
}

/** Most f32 logits of one run of the LM head, 64 MiB: rows of a large vocabulary are taken in parts. */
const LOGITS_PER_RUN = 2 ** 24;

/** One forward step on ONNX Runtime: a session run from each router to the next. */
export class OrtPipeline implements LayerPipeline {
  readonly layers: number;
  readonly tokens: number;
  /** f32 [wanted rows, vocabulary], after `finish`. */
  logits: Float32Array = new Float32Array(0);
  readonly #config: GptOssConfig;
  readonly #sessions: readonly GraphSession[];
  readonly #step: RectangularStep;
  readonly #stepFeeds: Feeds;
  readonly #typeFeeds: Readonly<Record<'sliding' | 'full', Feeds>>;
  readonly #newRows: NewRows[] = [];
  #residual: Tensor;
  #expertInput: Float32Array = new Float32Array(0);

  /** `sessions` are the graphs in order: the first, one between each two routers, the last. */
  constructor(config: GptOssConfig, sessions: readonly GraphSession[], rotary: RotaryTables, step: RectangularStep) {
    const { view, length, embeddings } = step;
    const batch = view.lengths.length;
    this.layers = config.layers;
    this.tokens = batch * length;
    this.#config = config;
    this.#sessions = sessions;
    this.#step = step;
    this.#residual = f32Tensor(embeddings, [this.tokens, 1, config.hiddenSize]);
    const positions = new Int32Array(this.tokens);
    view.lengths.forEach((past, sequence) => {
      for (let offset = 0; offset < length; offset++) {
        positions[sequence * length + offset] = past + offset;
      }
    });
    rotary.reserve(Math.max(...view.lengths) + length);
    const width = (config.attentionHeads + 2 * config.keyValueHeads) * config.headDim;
    this.#stepFeeds = {
      stepShape: i64Tensor([batch, length, width], [3]),
      positions: i64Tensor(positions, [batch, length]),
      cosine: f32Tensor(rotary.cosine, [rotary.rows, config.headDim / 2]),
      sine: f32Tensor(rotary.sine, [rotary.rows, config.headDim / 2]),
    };
    this.#typeFeeds = {
      sliding: lengthFeeds(view.rows('sliding'), length),
      full: lengthFeeds(view.rows('full'), length),
    };
  }

  async begin(): Promise<Float32Array> {
    return this.#attend(0, {});
  }

  async advance(layer: number, routing: RouterOutput): Promise<Float32Array> {
    const { experts, expertsPerToken } = this.#config;
    return this.#attend(layer + 1, {
      ...planOf(routing, expertsPerToken, experts),
      expertInput: f32Tensor(this.#expertInput, [this.tokens, this.#config.hiddenSize]),
    });
  }

  /** Computes what the wanted rows need and nothing else: in a prefill, one row's experts. */
  async finish(routing: RouterOutput): Promise<void> {
    const { hiddenSize, vocabularySize, experts, expertsPerToken } = this.#config;
    const { wantedRows, view } = this.#step;
    const residual = this.#residual.data as Float32Array;
    const session = this.#session(this.layers);
    const logits = new Float32Array(wantedRows.length * vocabularySize);
    const rowsPerRun = Math.max(1, Math.floor(LOGITS_PER_RUN / vocabularySize));
    for (let first = 0; first < wantedRows.length; first += rowsPerRun) {
      const rows = wantedRows.slice(first, first + rowsPerRun);
      const outputs = await session.run({
        ...planOfRows(routing, rows, expertsPerToken, experts),
        residual: f32Tensor(selectRows(residual, rows, hiddenSize), [rows.length, 1, hiddenSize]),
        expertInput: f32Tensor(selectRows(this.#expertInput, rows, hiddenSize), [rows.length, hiddenSize]),
      });
      logits.set(f32Output(outputs, 'logits'), first * vocabularySize);
    }
    this.logits = logits;
    // Only now, so that a step that fails leaves every sequence as it was.
    view.append(this.#newRows);
  }

  async #attend(layer: number, experts: Feeds): Promise<Float32Array> {
    const past = this.#step.view.past(layer);
    const outputs = await this.#session(layer).run({
      ...experts,
      ...this.#stepFeeds,
      ...this.#typeFeeds[this.#config.layerTypes[layer] ?? 'full'],
      residual: this.#residual,
      pastKey: f32Tensor(past.key, past.shape),
      pastValue: f32Tensor(past.value, past.shape),
    });
    this.#residual = outputs['nextResidual'] as Tensor;
    this.#expertInput = f32Output(outputs, 'nextExpertInput');
    this.#newRows.push({ key: f32Output(outputs, 'newKey'), value: f32Output(outputs, 'newValue') });
    return f32Output(outputs, 'gateLogits');
  }

  #session(index: number): GraphSession {
    return this.#sessions[index] as GraphSession;
  }
}

/** What the attention operator wants to know of lengths: each sequence's last row, and the longest. */
function lengthFeeds(rows: readonly number[], length: number): Feeds {
  return {
    lastIndex: i32Tensor(
      Int32Array.from(rows, (past) => past + length - 1),
      [rows.length],
    ),
    totalLength: i32Tensor(Int32Array.of(Math.max(...rows) + length), []),
  };
}
