import { readTensorBytes } from '@switchyard/models';
import type { GptOssConfig, GptOssLayerWeights, Mxfp4Tensor, Tensor } from '@switchyard/models';
import type { DispatchPlan } from '@switchyard/router-kernel';
import { ACTIVATION_BYTES, MOST_ROWS, RESERVED_BYTES, loadMxfp4Kernel } from './mxfp4-kernel.ts';
import type { KernelMemory, Mxfp4Kernel } from './mxfp4-kernel.ts';

/** The sizes of a model's mixture-of-experts layers. */
export type ExpertShape = Pick<
  GptOssConfig,
  'hiddenSize' | 'intermediateSize' | 'experts' | 'expertsPerToken' | 'swigluLimit'
>;

/** Reads the values of a bf16 or f32 tensor as f32. */
export type ReadF32 = (tensor: Tensor) => Float32Array;

/** Where the weights of one linear part of all experts of a layer lie. */
interface Linear {
  /** u8 [experts, outputs, blocks, 16]. */
  readonly codes: number;
  /** f32 [experts, outputs, blocks], of half units. */
  readonly scales: number;
  /** f32 [experts, outputs]. */
  readonly bias: number;
  readonly outputs: number;
  readonly blocks: number;
}

/** Where the activations of a step lie. T = tokens, S = T * K. */
interface StepRegion {
  readonly tokens: number;
  /** f32 [T, hidden]: what goes in, and what comes out. */
  readonly input: number;
  readonly output: number;
  /** f32 [S, hidden]: the experts' results in the plan's order. */
  readonly results: number;
  /** i32 [T, K]: where in `results` each token's slots lie. */
  readonly positions: number;
  /** f32 [T, K]. */
  readonly weights: number;
}

const BLOCK = 32;
const BLOCK_BYTES = 16;
const F32_BYTES = 4;
const PAGE_BYTES = 65536;
const ALIGNMENT = 64;

/**
 * The experts of a model as MXFP4, computed by kernels/mxfp4_experts.c: for the few rows of a decode step this reads an
 * eighth of the memory that f32 weights take, and idle experts cost nothing. Results are as near to the exact ones as f32
 * arithmetic's, and a token's does not depend on the other tokens of a step. `expert-reference.ts` says what is computed.
 */
export class Mxfp4Experts {
  readonly #shape: ExpertShape;
  readonly #memory: KernelMemory;
  readonly #kernel: Mxfp4Kernel;
  readonly #layers: { readonly gateUp: Linear; readonly down: Linear }[] = [];
  /** Room for the activations of `MOST_ROWS` rows: quantized ones with their steps, and gate and up. */
  readonly #quantized: number;
  readonly #steps: number;
  readonly #gateUp: number;
  #end = RESERVED_BYTES;
  #step: StepRegion | null = null;

  /** Makes room for the activations; `addLayer` brings the weights. */
  constructor(shape: ExpertShape) {
    this.#shape = shape;
    const { kernel, memory } = loadMxfp4Kernel();
    this.#kernel = kernel;
    this.#memory = memory;
    const blocks = (MOST_ROWS * Math.max(shape.hiddenSize, shape.intermediateSize)) / BLOCK;
    this.#quantized = this.#allocate(blocks * ACTIVATION_BYTES);
    this.#steps = this.#allocate(blocks * F32_BYTES);
    this.#gateUp = this.#allocate(MOST_ROWS * 2 * shape.intermediateSize * F32_BYTES);
  }

  /** Bytes of weights held. */
  get weightBytes(): number {
    return this.#layers.reduce((sum, { gateUp, down }) => sum + this.#linearBytes(gateUp) + this.#linearBytes(down), 0);
  }

  /** Copies the next layer's experts. */
  addLayer({ gateUp, down }: Pick<GptOssLayerWeights, 'gateUp' | 'down'>, readF32: ReadF32): void {
    this.#layers.push({ gateUp: this.#addLinear(gateUp, readF32), down: this.#addLinear(down, readF32) });
  }

  /**
   * One layer's experts for a step: each token's K experts, weighted and summed.
   *
   * @param input f32 [T, hidden].
   * @param weights f32 [T, K].
   * @param plan the step's dispatch plan.
   * @returns f32 [T, hidden], the caller's own.
   */
  compute(layer: number, input: Float32Array, weights: Float32Array, plan: DispatchPlan): Float32Array {
    const { hiddenSize, expertsPerToken } = this.#shape;
    const tokens = input.length / hiddenSize;
    const step = this.#stepRegion(tokens);
    const memory = this.#memory.buffer;
    new Float32Array(memory, step.input, input.length).set(input);
    new Float32Array(memory, step.weights, weights.length).set(weights);
    this.#dispatch(layer, step, plan);
    const rowBytes = hiddenSize * F32_BYTES;
    for (let token = 0; token < tokens; token++) {
      const slots = token * expertsPerToken * F32_BYTES;
      this.#kernel.combine(
        step.results,
        step.positions + slots,
        step.weights + slots,
        step.output + token * rowBytes,
        expertsPerToken,
        hiddenSize,
      );
    }
    return new Float32Array(memory, step.output, input.length).slice();
  }

  /** Writes one expert's weights to `target` as f32 [outputs, inputs], gate rows before up rows. */
  unpack(layer: number, expert: number, part: 'gateUp' | 'down', target: number): void {
    const { codes, scales, outputs, blocks } = this.#linear(layer, part);
    this.#kernel.unpack(
      codes + expert * outputs * blocks * BLOCK_BYTES,
      scales + expert * outputs * blocks * F32_BYTES,
      target,
      outputs,
      blocks,
      part === 'gateUp' ? 1 : 0,
    );
  }

  /** `length` f32 values of the memory, as long as it does not grow. */
  view(start: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, start, length);
  }

  /** Sets `bytes` of the memory aside for `unpack`; returns where they start. */
  reserve(bytes: number): number {
    return this.#allocate(bytes);
  }

  /** Each expert's own rows, a few at a time: gate_up, SwiGLU, down. */
  #dispatch(layer: number, step: StepRegion, { expertOffsets, sortedSlots }: DispatchPlan): void {
    const { experts, expertsPerToken, hiddenSize } = this.#shape;
    const positions = new Int32Array(this.#memory.buffer, step.positions, step.tokens * expertsPerToken);
    for (let expert = 0; expert < experts; expert++) {
      const end = expertOffsets[expert + 1] as number;
      for (let first = expertOffsets[expert] as number; first < end; first += MOST_ROWS) {
        const rows = Math.min(MOST_ROWS, end - first);
        for (let row = 0; row < rows; row++) {
          const slot = sortedSlots[first + row] as number;
          positions[slot] = first + row;
          const token = Math.floor(slot / expertsPerToken);
          this.#quantize(step.input + token * hiddenSize * F32_BYTES, row, hiddenSize);
        }
        this.#computeExpert(layer, expert, rows, step.results + first * hiddenSize * F32_BYTES);
      }
    }
  }

  #computeExpert(layer: number, expert: number, rows: number, results: number): void {
    const { intermediateSize, swigluLimit } = this.#shape;
    this.#linearOf(layer, 'gateUp', expert, rows, this.#gateUp);
    for (let row = 0; row < rows; row++) {
      const gateUp = this.#gateUp + row * 2 * intermediateSize * F32_BYTES;
      this.#kernel.swiglu(gateUp, gateUp, intermediateSize, swigluLimit);
      this.#quantize(gateUp, row, intermediateSize);
    }
    this.#linearOf(layer, 'down', expert, rows, results);
  }

  #linearOf(layer: number, part: 'gateUp' | 'down', expert: number, rows: number, output: number): void {
    const { codes, scales, bias, outputs, blocks } = this.#linear(layer, part);
    this.#kernel.linear(
      codes + expert * outputs * blocks * BLOCK_BYTES,
      scales + expert * outputs * blocks * F32_BYTES,
      bias + expert * outputs * F32_BYTES,
      this.#quantized,
      this.#steps,
      output,
      outputs,
      blocks,
      rows,
    );
  }

  /** Makes f32 [columns] at `input` row `row` of the kernel's input. */
  #quantize(input: number, row: number, columns: number): void {
    const blocks = columns / BLOCK;
    const first = row * blocks;
    this.#kernel.quantize(input, this.#quantized + first * ACTIVATION_BYTES, this.#steps + first * F32_BYTES, blocks);
  }

  #linear(layer: number, part: 'gateUp' | 'down'): Linear {
    const weights = this.#layers[layer];
    if (weights === undefined) {
      throw new RangeError(`Layer ${layer} has no experts · found ${this.#layers.length} layers · add it first`);
    }
    return weights[part];
  }

  #linearBytes({ outputs, blocks }: Linear): number {
    return this.#shape.experts * outputs * (blocks * (BLOCK_BYTES + F32_BYTES) + F32_BYTES);
  }

  #addLinear({ weight, bias }: GptOssLayerWeights['gateUp'], readF32: ReadF32): Linear {
    if (weight.kind !== 'mxfp4') {
      throw new TypeError(`Experts as ${weight.kind} · MXFP4 is needed here · compute them with ONNX Runtime`);
    }
    const [, outputs, columns] = weight.shape;
    const codes = this.#copy(readTensorBytes(weight.blocks));
    const scales = this.#copy(halfScales(weight));
    return { codes, scales, bias: this.#copy(readF32(bias)), outputs, blocks: columns / BLOCK };
  }

  #copy(values: Uint8Array | Float32Array): number {
    const start = this.#allocate(values.byteLength);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    new Uint8Array(this.#memory.buffer, start, values.byteLength).set(bytes);
    return start;
  }

  #stepRegion(tokens: number): StepRegion {
    if (this.#step !== null && this.#step.tokens >= tokens) {
      return this.#step;
    }
    const { hiddenSize, expertsPerToken } = this.#shape;
    // Rooms that became too small stay unused: with doubling they add up to less than the last.
    const room = Math.max(16, 2 ** Math.ceil(Math.log2(tokens)));
    const rows = room * hiddenSize * F32_BYTES;
    const slots = room * expertsPerToken;
    this.#step = {
      tokens: room,
      input: this.#allocate(rows),
      output: this.#allocate(rows),
      results: this.#allocate(rows * expertsPerToken),
      positions: this.#allocate(slots * Int32Array.BYTES_PER_ELEMENT),
      weights: this.#allocate(slots * F32_BYTES),
    };
    return this.#step;
  }

  #allocate(bytes: number): number {
    const start = this.#end;
    this.#end = Math.ceil((start + bytes) / ALIGNMENT) * ALIGNMENT;
    const missing = this.#end - this.#memory.buffer.byteLength;
    if (missing > 0) {
      this.#memory.grow(Math.ceil(missing / PAGE_BYTES));
    }
    return start;
  }
}

/** Half the value of each E8M0 scale (OCP Microscaling Formats 1.0), for half units: 2^(byte - 128), NaN for 255. */
const HALF_SCALES = Float32Array.from({ length: 256 }, (_, byte) => (byte === 255 ? NaN : 2 ** (byte - 128)));

function halfScales({ scales }: Mxfp4Tensor): Float32Array {
  const bytes = readTensorBytes(scales);
  const values = new Float32Array(bytes.length);
  for (let index = 0; index < bytes.length; index++) {
    values[index] = HALF_SCALES[bytes[index] as number] as number;
  }
  return values;
}
