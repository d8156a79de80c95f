import { MXFP4_BLOCK, MXFP4_BLOCK_BYTES, readFloats, readTensorBytes } from '@switchyard/models';
import type { GptOssConfig, GptOssLayerWeights, Mxfp4Tensor } from '@switchyard/models';
import type { DispatchPlan } from '@switchyard/router-kernel';
import { ACTIVATION_BYTES, MOST_ROWS, RESERVED_BYTES, TILE, loadMxfp4Kernel } from './mxfp4-kernel.ts';
import type { KernelMemory, Mxfp4Kernel } from './mxfp4-kernel.ts';

/** The sizes of a model's mixture-of-experts layers. */
export type ExpertShape = Pick<
  GptOssConfig,
  'hiddenSize' | 'intermediateSize' | 'experts' | 'expertsPerToken' | 'swigluLimit'
>;

/** Where the weights of one linear part of all experts of a layer lie. */
interface Linear {
  /** u8 [experts * outputs / 8, blocks, 128], in the kernel's tiles. */
  readonly codes: number;
  /** f32 [experts * outputs / 8, blocks, 8], of half units. */
  readonly scales: number;
  /** f32 [experts, outputs]. */
  readonly bias: number;
  readonly outputs: number;
  readonly blocks: number;
}

/** Where activations lie as the kernel takes them, with their steps. */
interface QuantizedRows {
  readonly values: number;
  /** f32. */
  readonly steps: number;
}

/** Where the activations of a step lie. T = tokens, S = T * K. */
interface StepRegion {
  readonly tokens: number;
  /** f32 [T, hidden]: what goes in, and what comes out. */
  readonly input: number;
  readonly output: number;
  /** The input as the kernel takes it. */
  readonly quantized: QuantizedRows;
  /** i32 [S]: the token of each row of the plan. */
  readonly rowTokens: number;
  /** f32 [S, hidden]: the experts' results in the plan's order. */
  readonly results: number;
  /** i32 [T, K]: where in `results` each token's slots lie. */
  readonly positions: number;
  /** f32 [T, K]. */
  readonly weights: number;
}

const F32_BYTES = 4;
const I32_BYTES = 4;
const PAGE_BYTES = 65536;
const ALIGNMENT = 64;

/**
 * The experts of a model as MXFP4, computed by kernels/cpu/mxfp4_experts.c: for the few rows of a decode step this reads an
 * eighth of the memory that f32 weights take, and idle experts cost nothing. Results are as near to the exact ones as f32
 * arithmetic's, and a token's does not depend on the other tokens of a step. `reference/experts.ts` says what is computed.
 */
export class Mxfp4Experts {
  readonly #shape: ExpertShape;
  readonly #memory: KernelMemory;
  readonly #kernel: Mxfp4Kernel;
  readonly #layers: { readonly gateUp: Linear; readonly down: Linear }[] = [];
  /** Room for `MOST_ROWS` rows within an expert: gate and up, what comes of them, and i32 0, 1, 2, 3, their indices. */
  readonly #gateUp: number;
  readonly #activated: QuantizedRows;
  readonly #indices: number;
  #end = RESERVED_BYTES;
  #step: StepRegion | null = null;

  /** Makes room for the activations; `addLayer` brings the weights. */
  constructor(shape: ExpertShape) {
    this.#shape = shape;
    const { kernel, memory } = loadMxfp4Kernel();
    this.#kernel = kernel;
    this.#memory = memory;
    this.#gateUp = this.#allocate(MOST_ROWS * 2 * shape.intermediateSize * F32_BYTES);
    this.#activated = this.#allocateQuantized(MOST_ROWS * shape.intermediateSize);
    this.#indices = this.#copy(Int32Array.from({ length: MOST_ROWS }, (_, row) => row));
  }

  /** Bytes of weights held. */
  get weightBytes(): number {
    return this.#layers.reduce((sum, { gateUp, down }) => sum + this.#linearBytes(gateUp) + this.#linearBytes(down), 0);
  }

  /** Copies the next layer's experts. */
  addLayer({ gateUp, down }: Pick<GptOssLayerWeights, 'gateUp' | 'down'>): void {
    this.#layers.push({ gateUp: this.#addLinear(gateUp), down: this.#addLinear(down) });
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
    this.#quantize(step.input, step.quantized, input.length);
    this.#dispatch(layer, step, plan);
    this.#kernel.combine(step.results, step.positions, step.weights, step.output, tokens, expertsPerToken, hiddenSize);
    return new Float32Array(memory, step.output, input.length).slice();
  }

  /** Writes one expert's weights to `target` as f32 [outputs, inputs], gate rows before up rows. */
  unpack(layer: number, expert: number, part: 'gateUp' | 'down', target: number): void {
    const { codes, scales, outputs, blocks } = this.#linear(layer, part);
    this.#kernel.unpack(
      codes + expert * outputs * blocks * MXFP4_BLOCK_BYTES,
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

  /** Each expert's own rows, a few at a time. */
  #dispatch(layer: number, step: StepRegion, { expertOffsets, sortedSlots }: DispatchPlan): void {
    const { experts, expertsPerToken, hiddenSize } = this.#shape;
    const slots = sortedSlots.length;
    const positions = new Int32Array(this.#memory.buffer, step.positions, slots);
    const rowTokens = new Int32Array(this.#memory.buffer, step.rowTokens, slots);
    for (let position = 0; position < slots; position++) {
      const slot = sortedSlots[position] as number;
      positions[slot] = position;
      rowTokens[position] = Math.floor(slot / expertsPerToken);
    }
    for (let expert = 0; expert < experts; expert++) {
      const end = expertOffsets[expert + 1] as number;
      for (let first = expertOffsets[expert] as number; first < end; first += MOST_ROWS) {
        const rows = Math.min(MOST_ROWS, end - first);
        const results = step.results + first * hiddenSize * F32_BYTES;
        this.#computeExpert(layer, expert, step.quantized, step.rowTokens + first * I32_BYTES, rows, results);
      }
    }
  }

  /** gate_up, SwiGLU and down of the rows of `input` that i32 [rows] `indices` names. */
  #computeExpert(
    layer: number,
    expert: number,
    input: QuantizedRows,
    indices: number,
    rows: number,
    results: number,
  ): void {
    const columns = rows * this.#shape.intermediateSize;
    this.#linearOf(layer, 'gateUp', expert, input, indices, rows, this.#gateUp);
    this.#kernel.swiglu(this.#gateUp, this.#gateUp, columns, this.#shape.swigluLimit);
    this.#quantize(this.#gateUp, this.#activated, columns);
    this.#linearOf(layer, 'down', expert, this.#activated, this.#indices, rows, results);
  }

  #linearOf(
    layer: number,
    part: 'gateUp' | 'down',
    expert: number,
    input: QuantizedRows,
    indices: number,
    rows: number,
    output: number,
  ): void {
    const { codes, scales, bias, outputs, blocks } = this.#linear(layer, part);
    this.#kernel.linear(
      codes + expert * outputs * blocks * MXFP4_BLOCK_BYTES,
      scales + expert * outputs * blocks * F32_BYTES,
      bias + expert * outputs * F32_BYTES,
      input.values,
      input.steps,
      indices,
      output,
      outputs,
      blocks,
      rows,
    );
  }

  /** Makes the kernel's input of `length` f32 values, whole rows on end. */
  #quantize(values: number, target: QuantizedRows, length: number): void {
    this.#kernel.quantize(values, target.values, target.steps, length / MXFP4_BLOCK);
  }

  #linear(layer: number, part: 'gateUp' | 'down'): Linear {
    const weights = this.#layers[layer];
    if (weights === undefined) {
      throw new RangeError(`Layer ${layer} has no experts · found ${this.#layers.length} layers · add it first`);
    }
    return weights[part];
  }

  #linearBytes({ outputs, blocks }: Linear): number {
    return this.#shape.experts * outputs * (blocks * (MXFP4_BLOCK_BYTES + F32_BYTES) + F32_BYTES);
  }

  #addLinear({ weight, bias }: GptOssLayerWeights['gateUp']): Linear {
    if (weight.kind !== 'mxfp4') {
      throw new TypeError(`Experts as ${weight.kind} · MXFP4 is needed here · compute them with ONNX Runtime`);
    }
    const [, outputs, columns] = weight.shape;
    const blocks = columns / MXFP4_BLOCK;
    const codes = this.#copy(tiledCodes(weight, blocks));
    const scales = this.#copy(tiledScales(weight, blocks));
    return { codes, scales, bias: this.#copy(readFloats(bias)), outputs, blocks };
  }

  #copy(values: Uint32Array | Int32Array | Float32Array): number {
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
      quantized: this.#allocateQuantized(room * hiddenSize),
      rowTokens: this.#allocate(slots * I32_BYTES),
      results: this.#allocate(rows * expertsPerToken),
      positions: this.#allocate(slots * I32_BYTES),
      weights: this.#allocate(slots * F32_BYTES),
    };
    return this.#step;
  }

  #allocateQuantized(length: number): QuantizedRows {
    const blocks = length / MXFP4_BLOCK;
    return { values: this.#allocate(blocks * ACTIVATION_BYTES), steps: this.#allocate(blocks * F32_BYTES) };
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

/** Words of a block's codes. */
const WORDS = MXFP4_BLOCK_BYTES / 4;

/** Half the value of each E8M0 scale (OCP Microscaling Formats 1.0), for half units: 2^(byte - 128), NaN for 255. */
const HALF_SCALES = Float32Array.from({ length: 256 }, (_, byte) => (byte === 255 ? NaN : 2 ** (byte - 128)));

/** The scales in the kernel's tiles: f32 [rows / 8, blocks, 8]. */
function tiledScales({ scales }: Mxfp4Tensor, blocks: number): Float32Array {
  const bytes = readTensorBytes(scales);
  const values = new Float32Array(bytes.length);
  for (let row = 0; row < bytes.length / blocks; row++) {
    const tile = row - (row % TILE);
    for (let block = 0; block < blocks; block++) {
      values[tile * blocks + block * TILE + (row % TILE)] = HALF_SCALES[
        bytes[row * blocks + block] as number
      ] as number;
    }
  }
  return values;
}

/** The codes in the kernel's tiles, four bytes (8 columns of a row) a word. */
function tiledCodes({ blocks: codes }: Mxfp4Tensor, blocks: number): Uint32Array {
  const bytes = readTensorBytes(codes);
  const tiled = new Uint32Array(bytes.length / 4);
  const tileWords = TILE * blocks * WORDS;
  const tile = new Uint32Array(tileWords);
  for (let start = 0; start < tiled.length; start += tileWords) {
    new Uint8Array(tile.buffer).set(bytes.subarray(start * 4, (start + tileWords) * 4));
    for (let row = 0; row < TILE; row++) {
      const place = start + (row >> 2) * WORDS * 4 + (row & 3);
      for (let word = 0; word < blocks * WORDS; word++) {
        const block = Math.floor(word / WORDS);
        tiled[place + block * TILE * WORDS + (word % WORDS) * 4] = tile[row * blocks * WORDS + word] as number;
      }
    }
  }
  return tiled;
}
