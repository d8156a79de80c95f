import { tensorByteLength } from '@switchyard/models';
import type { GptOssConfig, GptOssLayerWeights, Tensor } from '@switchyard/models';
import type { ExpertBlock, ExpertStep } from './expert-block.ts';
import type { ExpertForm } from './expert-form.ts';
import { combineGraph, expertGraph, expertGroupGraph, reorderedBias } from './expert-graph.ts';
import { divideExperts } from './expert-division.ts';
import type { DivisionBounds, ExpertRange } from './expert-division.ts';
import { gateThenUp, inOrder } from './expert-weights.ts';
import type { RowOrder } from './expert-weights.ts';
import { ExpertTemplates } from './expert-templates.ts';
import { GraphSession, f32Output, f32Tensor, i32Tensor } from './graph-session.ts';
import type { Feeds, SessionOptions } from './graph-session.ts';
import { planInputs, rangeInputs, rowExperts } from './plan-inputs.ts';
import { WeightReader } from './weight-reader.ts';

/** Experts whose weights ONNX Runtime holds: a session a layer, or several where a layer is large. */
export class SessionExperts implements ExpertBlock {
  readonly #config: GptOssConfig;
  readonly #form: ExpertForm;
  readonly #ranges: readonly ExpertRange[];
  /** Null where a layer is one session that computes everything. */
  readonly #templates: ExpertTemplates | null;
  /** [layer][range]. */
  readonly #sessions: GraphSession[][] = [];
  /** [layer][range], where layers have several sessions. */
  readonly #biases: Feeds[][] = [];
  #combine: GraphSession | null = null;

  /** Holds no layer yet. `form` must suit the checkpoint: `blocks8` and `blocks4` need MXFP4 experts. */
  constructor(config: GptOssConfig, form: ExpertForm, bounds: DivisionBounds = {}) {
    const { ranges, usesTemplates } = divideExperts(config, form, bounds);
    this.#config = config;
    this.#form = form;
    this.#ranges = ranges;
    this.#templates = usesTemplates ? new ExpertTemplates(config) : null;
  }

  /** Loads the next layer's experts. */
  async addLayer(layer: GptOssLayerWeights, options: SessionOptions): Promise<void> {
    const sessions: GraphSession[] = [];
    this.#sessions.push(sessions);
    if (this.#ranges.length === 1 && this.#templates === null) {
      sessions.push(await GraphSession.create(expertGraph(this.#config, layer, this.#form), options));
      return;
    }
    this.#combine ??= await GraphSession.create(combineGraph(this.#config), options);
    const { reader = new WeightReader() } = options;
    this.#biases.push(reader.convert(() => this.#ranges.map((range) => biasInputs(layer, range))));
    reader.skip(tensorByteLength(layer.gateUp.bias) + tensorByteLength(layer.down.bias));
    for (const range of this.#ranges) {
      const graph = expertGroupGraph(this.#config, layer, this.#form, range);
      sessions.push(
        this.#templates === null
          ? await GraphSession.create(graph, options)
          : await this.#templates.createSession(graph, range.end - range.first, options),
      );
    }
  }

  /** Says that no layer follows. */
  endLoading(): void {
    this.#templates?.endLoading();
  }

  async mix(step: ExpertStep): Promise<Float32Array> {
    const { layer, input, residual, ids, weights, plan } = step;
    const { hiddenSize, expertsPerToken } = this.#config;
    const sessions = this.#sessions[layer] ?? [];
    const { planRows, planCounts, planInverse, planWeights } = planInputs(ids, weights, plan, expertsPerToken);
    const expertInput = f32Tensor(input, [input.length / hiddenSize, hiddenSize]);
    const ends = {
      planInverse,
      planWeights,
      residual: f32Tensor(residual, [input.length / hiddenSize, 1, hiddenSize]),
    };
    const planExperts = rowExperts(plan);
    if (this.#combine === null) {
      const [session] = sessions as [GraphSession];
      const experts = i32Tensor(planExperts, [ids.length]);
      const outputs = await session.run({ ...ends, planRows, planCounts, expertInput, planExperts: experts });
      return f32Output(outputs, 'residualSum');
    }
    const results = new Float32Array(ids.length * hiddenSize);
    for (const [index, range] of this.#ranges.entries()) {
      const from = plan.expertOffsets[range.first] as number;
      const to = plan.expertOffsets[range.end] as number;
      if (from < to) {
        const part = rangeInputs(planRows.data as Int32Array, planExperts, plan, range);
        const outputs = await (sessions[index] as GraphSession).run({
          ...part,
          ...this.#biases[layer]?.[index],
          expertInput,
        });
        results.set(f32Output(outputs, 'results'), from * hiddenSize);
      }
    }
    const outputs = await this.#combine.run({ ...ends, results: f32Tensor(results, [ids.length, hiddenSize]) });
    return f32Output(outputs, 'residualSum');
  }

  async release(): Promise<void> {
    const sessions = this.#combine === null ? this.#sessions.flat() : [...this.#sessions.flat(), this.#combine];
    await Promise.all(sessions.map((session) => session.release()));
    this.#templates?.release();
  }
}

/** The bias inputs of an expert group graph. */
function biasInputs({ gateUp, down }: GptOssLayerWeights, { first, end }: ExpertRange): Feeds {
  const input = (bias: Tensor, order: RowOrder): Feeds[string] => {
    const rows = bias.shape[1] ?? 0;
    return f32Tensor(reorderedBias(bias, order).slice(first * rows, end * rows), [end - first, rows]);
  };
  return { gateUpBias: input(gateUp.bias, gateThenUp), downBias: input(down.bias, inOrder) };
}
