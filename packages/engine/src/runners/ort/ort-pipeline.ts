import type { GptOssConfig } from '@switchyard/models';
import { buildDispatchPlan } from '@switchyard/router-kernel';
import type { RouterOutput } from '@switchyard/router-kernel';
import type { LayerPipeline } from '../../moe-layer.ts';
import { f32Output, f32Tensor, i32Tensor, i64Tensor } from './graph-session.ts';
import type { Feeds, GraphSession } from './graph-session.ts';
import type { KvView, NewRows } from './kv-cache.ts';
import type { OrtModel } from './load-model.ts';
import { selectRows } from './plan-inputs.ts';
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

/** One forward step: attention, router and experts of each layer, then the head. */
export class OrtPipeline implements LayerPipeline {
  readonly layers: number;
  readonly tokens: number;
  /** f32 [wanted rows, vocabulary], after `finish`. */
  logits: Float32Array = new Float32Array(0);
  readonly #config: GptOssConfig;
  readonly #model: OrtModel;
  readonly #step: RectangularStep;
  readonly #stepFeeds: Feeds;
  readonly #typeFeeds: Readonly<Record<'sliding' | 'full', Feeds>>;
  readonly #newRows: NewRows[] = [];
  /** The residual stream is the sum of these two, f32 [rows, hidden]: what came in, and the last layer's experts. */
  #residual: Float32Array;
  #mixture: Float32Array;
  #expertInput: Float32Array = new Float32Array(0);

  constructor(config: GptOssConfig, model: OrtModel, rotary: RotaryTables, step: RectangularStep) {
    const { view, length, embeddings } = step;
    const batch = view.lengths.length;
    this.layers = config.layers;
    this.tokens = batch * length;
    this.#config = config;
    this.#model = model;
    this.#step = step;
    this.#residual = embeddings;
    this.#mixture = new Float32Array(embeddings.length);
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

  async attend(layer: number): Promise<Float32Array> {
    const { hiddenSize, experts, keyValueHeads, headDim, layerTypes } = this.#config;
    const past = this.#step.view.past(layer);
    const outputs = await (this.#model.attention[layer] as GraphSession).run({
      ...this.#stepFeeds,
      ...this.#typeFeeds[layerTypes[layer] ?? 'full'],
      residual: f32Tensor(this.#residual, [this.tokens, hiddenSize]),
      mixture: f32Tensor(this.#mixture, [this.tokens, hiddenSize]),
      pastKey: f32Tensor(past.key, past.shape),
      pastValue: f32Tensor(past.value, past.shape),
    });
    const take = takeRows(f32Output(outputs, 'outputs'), this.tokens);
    this.#residual = take(hiddenSize);
    this.#expertInput = take(hiddenSize);
    const gateLogits = take(experts);
    this.#newRows.push({ key: take(keyValueHeads * headDim), value: take(keyValueHeads * headDim) });
    return gateLogits;
  }

  async mixExperts(layer: number, routing: RouterOutput): Promise<void> {
    const { experts, expertsPerToken, hiddenSize, layers } = this.#config;
    let ids = routing.ids as Int32Array;
    let { weights, dispatchPlan: plan = buildDispatchPlan(ids, experts) } = routing;
    let rows = this.tokens;
    if (layer === layers - 1 && this.#step.wantedRows.length < rows) {
      // After the last layer nothing but the wanted rows is needed: in a prefill, one row's experts.
      const wanted = this.#step.wantedRows;
      rows = wanted.length;
      ids = selectRows(ids, wanted, expertsPerToken);
      weights = selectRows(weights, wanted, expertsPerToken);
      plan = buildDispatchPlan(ids, experts);
      this.#expertInput = selectRows(this.#expertInput, wanted, hiddenSize);
      this.#residual = selectRows(this.#residual, wanted, hiddenSize);
    }
    if (rows === 0) {
      return;
    }
    const phase = rows === 1 || this.#step.length === 1 ? 'decode' : 'prefill';
    this.#mixture = await this.#model.experts.mix({ layer, phase, input: this.#expertInput, ids, weights, plan });
  }

  async finish(): Promise<void> {
    const { hiddenSize, vocabularySize } = this.#config;
    const wanted = this.#step.wantedRows.length;
    const logits = new Float32Array(wanted * vocabularySize);
    const rowsPerRun = Math.max(1, Math.floor(LOGITS_PER_RUN / vocabularySize));
    for (let first = 0; first < wanted; first += rowsPerRun) {
      const count = Math.min(rowsPerRun, wanted - first);
      const rows = (values: Float32Array): Float32Array =>
        values.subarray(first * hiddenSize, (first + count) * hiddenSize);
      const outputs = await this.#model.head.run({
        residual: f32Tensor(rows(this.#residual), [count, hiddenSize]),
        mixture: f32Tensor(rows(this.#mixture), [count, hiddenSize]),
      });
      logits.set(f32Output(outputs, 'logits'), first * vocabularySize);
    }
    this.logits = logits;
    // Only now, so that a step that fails leaves every sequence as it was.
    this.#step.view.append(this.#newRows);
  }
}

/** Takes matrices of `rows` rows off the front of `values`, one after the other, not copied. */
function takeRows(values: Float32Array, rows: number): (columns: number) => Float32Array {
  let start = 0;
  return (columns) => {
    start += rows * columns;
    return values.subarray(start - rows * columns, start);
  };
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
