import { tensorByteLength } from '@switchyard/models';
import type { GptOssConfig, GptOssLayerWeights } from '@switchyard/models';
import type { DispatchPlan } from '@switchyard/router-kernel';
import type { Tensor } from 'onnxruntime-node';
import { Mxfp4Experts } from './mxfp4-experts.ts';
import type { StepClock } from '../layer-loop.ts';
import type { ExpertBlock, ExpertStep } from '../expert-block.ts';
import { reorderedBias } from '../expert-graph.ts';
import { expertTensors, gateThenUp, inOrder } from '../expert-weights.ts';
import type { RowOrder } from '../expert-weights.ts';
import { GraphSession, f32Output, f32Tensor } from '../graph-session.ts';
import type { Feeds, SessionOptions } from '../graph-session.ts';
import { planInputs } from '../plan-inputs.ts';
import { unpackedExpertGraph } from './unpacked-expert-graph.ts';
import { WeightReader } from '../weight-reader.ts';

const PARTS = ['gateUp', 'down'] as const;
const F32_BYTES = 4;

/**
 * Rows that an expert has on average, up to which they are computed on MXFP4: as many as the kernel computes in one pass
 * over the weights. Unpacking and packing an expert takes as long as some six rows on two cores, however few it has.
 */
const MOST_PACKED_ROWS = 4;

/**
 * Experts held as the checkpoint's MXFP4. Decode steps and short prompts compute on them as they are; a longer prefill
 * unpacks a layer's experts into f32, which ONNX Runtime multiplies faster where each has many rows, and the next layer's
 * take their place. How many rows a prompt's piece has does not depend on other sequences, and so neither do its results.
 */
export class Mxfp4ExpertBlock implements ExpertBlock {
  readonly #config: GptOssConfig;
  readonly #clock: StepClock;
  readonly #experts: Mxfp4Experts;
  readonly #session: GraphSession;
  readonly #biases: Feeds[] = [];
  /** Where unpacked weights go, once a prefill has needed them, and the inputs that lie there. */
  #unpacked: number | null = null;
  #weights: Record<string, Tensor> = {};

  private constructor(config: GptOssConfig, session: GraphSession, clock: StepClock) {
    this.#config = config;
    this.#session = session;
    this.#clock = clock;
    this.#experts = new Mxfp4Experts(config);
  }

  /** Holds no layer yet. */
  static async create(config: GptOssConfig, options: SessionOptions): Promise<Mxfp4ExpertBlock> {
    const session = await GraphSession.create(unpackedExpertGraph(config), options);
    return new Mxfp4ExpertBlock(config, session, options.clock);
  }

  /** Copies the next layer's experts. */
  addLayer(layer: GptOssLayerWeights, { reader = new WeightReader() }: Pick<SessionOptions, 'reader'> = {}): void {
    reader.convert(() => this.#add(layer));
    reader.skip(expertTensors(layer).reduce((sum, tensor) => sum + tensorByteLength(tensor), 0));
    reader.piece();
  }

  /** Says that no layer follows. */
  endLoading(): void {}

  #add(layer: GptOssLayerWeights): void {
    this.#experts.addLayer(layer);
    const bias = ({ bias }: GptOssLayerWeights['gateUp'], order: RowOrder): Feeds[string] => {
      const values = reorderedBias(bias, order);
      return f32Tensor(values, [values.length, 1]);
    };
    this.#biases.push({ gateUpBias: bias(layer.gateUp, gateThenUp), downBias: bias(layer.down, inOrder) });
  }

  async mix(step: ExpertStep): Promise<Float32Array> {
    const started = performance.now();
    if (this.#staysPacked(step)) {
      const mixture = this.#experts.compute(step.layer, step.input, step.weights, step.plan);
      this.#clock.experts += performance.now() - started;
      return addTo(step.residual, mixture);
    }
    this.#unpack(step.layer, step.plan);
    this.#clock.experts += performance.now() - started;
    const { hiddenSize, expertsPerToken } = this.#config;
    const outputs = await this.#session.run({
      ...this.#weights,
      ...this.#biases[step.layer],
      ...planInputs(step.ids, step.weights, step.plan, expertsPerToken),
      expertInput: f32Tensor(step.input, [step.input.length / hiddenSize, hiddenSize]),
      residual: f32Tensor(step.residual, [step.input.length / hiddenSize, 1, hiddenSize]),
    });
    return f32Output(outputs, 'residualSum');
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  #staysPacked({ phase, ids }: ExpertStep): boolean {
    return phase === 'decode' || ids.length <= MOST_PACKED_ROWS * this.#config.experts;
  }

  /** Unpacks the experts of a layer that have rows. The inputs of the others keep what was there before. */
  #unpack(layer: number, { expertOffsets }: DispatchPlan): void {
    const { experts, hiddenSize, intermediateSize } = this.#config;
    const shapes = { gateUp: [2 * intermediateSize, hiddenSize], down: [hiddenSize, intermediateSize] } as const;
    const size = { gateUp: 2 * intermediateSize * hiddenSize, down: hiddenSize * intermediateSize };
    this.#unpacked ??= this.#experts.reserve(experts * (size.gateUp + size.down) * F32_BYTES);
    let target = this.#unpacked;
    for (let expert = 0; expert < experts; expert++) {
      const isUsed = (expertOffsets[expert + 1] as number) > (expertOffsets[expert] as number);
      for (const part of PARTS) {
        if (isUsed) {
          this.#experts.unpack(layer, expert, part, target);
        }
        const name = `${part}${expert}`;
        // The memory may have grown since the last prefill, which leaves older views empty.
        if ((this.#weights[name]?.data as Float32Array | undefined)?.length !== size[part]) {
          this.#weights[name] = f32Tensor(this.#experts.view(target, size[part]), shapes[part]);
        }
        target += size[part] * F32_BYTES;
      }
    }
  }
}

function addTo(target: Float32Array, added: Float32Array): Float32Array {
  for (let index = 0; index < added.length; index++) {
    target[index] = (target[index] as number) + (added[index] as number);
  }
  return target;
}
