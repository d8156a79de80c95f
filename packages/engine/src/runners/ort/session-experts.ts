import type { GptOssConfig, GptOssLayerWeights } from '@switchyard/models';
import type { ExpertBlock, ExpertStep } from './expert-block.ts';
import { expertGraph } from './expert-graph.ts';
import type { ExpertForm } from './expert-form.ts';
import { GraphSession, f32Output, f32Tensor, i32Tensor } from './graph-session.ts';
import type { SessionOptions } from './graph-session.ts';
import { planInputs, rowExperts } from './plan-inputs.ts';

/** Experts whose weights ONNX Runtime holds: a session a layer. */
export class SessionExperts implements ExpertBlock {
  readonly weightBytes: number;
  readonly #config: GptOssConfig;
  readonly #form: ExpertForm;
  readonly #sessions: GraphSession[] = [];

  /** Holds no layer yet. `form` must suit the checkpoint: `blocks8` and `blocks4` need MXFP4 experts. */
  constructor(config: GptOssConfig, form: ExpertForm) {
    const { layers, experts, hiddenSize, intermediateSize } = config;
    const bytesPerWeight = { f32: 4, blocks8: 1 + 4 / 32, blocks4: 0.5 + 4 / 32 }[form];
    this.weightBytes = Math.round(layers * experts * 3 * hiddenSize * intermediateSize * bytesPerWeight);
    this.#config = config;
    this.#form = form;
  }

  /** Loads the next layer's experts. */
  async addLayer(layer: GptOssLayerWeights, options: SessionOptions): Promise<void> {
    this.#sessions.push(await GraphSession.create(expertGraph(this.#config, layer, this.#form), options));
  }

  async mix({ layer, input, residual, ids, weights, plan }: ExpertStep): Promise<Float32Array> {
    const { hiddenSize, expertsPerToken } = this.#config;
    const outputs = await (this.#sessions[layer] as GraphSession).run({
      ...planInputs(ids, weights, plan, expertsPerToken),
      planExperts: i32Tensor(rowExperts(plan), [ids.length]),
      expertInput: f32Tensor(input, [input.length / hiddenSize, hiddenSize]),
      residual: f32Tensor(residual, [input.length / hiddenSize, 1, hiddenSize]),
    });
    return f32Output(outputs, 'residualSum');
  }

  async release(): Promise<void> {
    await Promise.all(this.#sessions.map((session) => session.release()));
  }
}
