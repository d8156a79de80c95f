import type { GptOssConfig } from '@switchyard/models';
import { buildDispatchPlan } from '@switchyard/router-kernel';
import type { RouterOutput } from '@switchyard/router-kernel';
import type { Tensor } from 'onnxruntime-node';
import type { LayerPipeline } from './layer-loop.ts';
import { attentionColumns } from './attention-graph.ts';
import type { AttentionColumns, Columns } from './attention-graph.ts';
import { f32Output, f32Tensor, i32Tensor, i64Tensor } from './graph-session.ts';
import type { GraphSession } from './graph-session.ts';
import type { KvView, NewRows } from './kv-cache.ts';
import type { OrtModel } from './load-model.ts';
import { selectRows } from './plan-inputs.ts';
import type { RotaryTables } from '../rotary-tables.ts';

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

/** One forward step: attention, router and experts of each layer, then the head. */
export class OrtPipeline implements LayerPipeline {
  readonly layers: number;
  readonly tokens: number;
  /** f32 [wanted rows, vocabulary], after `finish`. */
  logits: Float32Array = new Float32Array(0);
  readonly #config: GptOssConfig;
  readonly #model: OrtModel;
  readonly #step: RectangularStep;
  readonly #rotary: RotaryTables;
  readonly #columns: AttentionColumns;
  /** i32 [batch * length]. */
  readonly #positions: Int32Array;
  readonly #stepFeeds: Readonly<Record<'positions' | 'cosine' | 'sine', Tensor>>;
  readonly #typeFeeds: Readonly<Record<'sliding' | 'full', LengthFeeds>>;
  readonly #newRows: NewRows[] = [];
  /** The residual stream, f32 [rows, hidden]; over the embeddings, which are not needed again. */
  #residual: Float32Array;
  #expertInput: Float32Array;
  readonly #gateLogits: Float32Array;

  constructor(config: GptOssConfig, model: OrtModel, rotary: RotaryTables, step: RectangularStep) {
    const { view, length, embeddings } = step;
    const batch = view.lengths.length;
    this.layers = config.layers;
    this.tokens = batch * length;
    this.#config = config;
    this.#model = model;
    this.#step = step;
    this.#residual = embeddings;
    this.#expertInput = new Float32Array(embeddings.length);
    this.#gateLogits = new Float32Array(this.tokens * config.experts);
    this.#rotary = rotary;
    this.#columns = attentionColumns(config);
    const positions = new Int32Array(this.tokens);
    view.lengths.forEach((past, sequence) => {
      for (let offset = 0; offset < length; offset++) {
        positions[sequence * length + offset] = past + offset;
      }
    });
    rotary.reserve(Math.max(...view.lengths) + length);
    this.#positions = positions;
    this.#stepFeeds = {
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
    const { hiddenSize, layerTypes } = this.#config;
    const { positions, cosine, sine } = this.#stepFeeds;
    const { lastIndex, totalLength } = this.#typeFeeds[layerTypes[layer] ?? 'full'];
    const past = this.#step.view.past(layer);
    const outputs = await (this.#model.attention[layer] as GraphSession).run({
      residual: f32Tensor(this.#residual, [this.tokens / this.#step.length, this.#step.length, hiddenSize]),
      positions,
      cosine,
      sine,
      pastKey: f32Tensor(past.key, past.shape),
      pastValue: f32Tensor(past.value, past.shape),
      lastIndex,
      totalLength,
    });
    const rows = f32Output(outputs, 'outputs');
    const { residual, experts, gate, key, value, width } = this.#columns;
    this.#copyColumns(rows, residual, this.#residual);
    this.#copyColumns(rows, experts, this.#expertInput);
    this.#copyColumns(rows, gate, this.#gateLogits);
    this.#rotary.rotate(rows, key, width, this.#positions);
    this.#newRows.push({ key: rows.subarray(key.start), value: rows.subarray(value.start), stride: width });
    return this.#gateLogits;
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
    this.#residual = await this.#model.experts.mix({
      layer,
      phase,
      input: this.#expertInput,
      residual: this.#residual,
      ids,
      weights,
      plan,
    });
  }

  async finish(): Promise<void> {
    if (this.#step.wantedRows.length > 0) {
      const end = this.#step.wantedRows.length * this.#config.hiddenSize;
      this.logits = await this.#model.head.logits(this.#residual.subarray(0, end));
    }
    // Only now, so that a step that fails leaves every sequence as it was.
    this.#step.view.append(this.#newRows);
  }

  /** Copies some columns of f32 [tokens, `#columns.width`] into a matrix of their own. */
  #copyColumns(rows: Float32Array, { start, end }: Columns, target: Float32Array): void {
    for (let row = 0; row < this.tokens; row++) {
      const from = row * this.#columns.width;
      target.set(rows.subarray(from + start, from + end), row * (end - start));
    }
  }
}

type LengthFeeds = Readonly<Record<'lastIndex' | 'totalLength', Tensor>>;

/** What the attention operator wants to know of lengths: each sequence's last row, and the longest. */
function lengthFeeds(rows: readonly number[], length: number): LengthFeeds {
  return {
    lastIndex: i32Tensor(
      Int32Array.from(rows, (past) => past + length - 1),
      [rows.length],
    ),
    totalLength: i32Tensor(Int32Array.of(Math.max(...rows) + length), []),
  };
}
