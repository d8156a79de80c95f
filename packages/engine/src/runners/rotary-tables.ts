import type { GptOssConfig } from '@switchyard/models';

/** A run of a row's elements, from `start` to `end` (exclusive). */
interface Columns {
  readonly start: number;
  readonly end: number;
}

/**
 * Cosine and sine tables of the rotary position embedding, with YaRN scaling (Peng et al. 2023, "YaRN: Efficient Context
 * Window Extension of Large Language Models") as transformers computes it for GPT-OSS.
 *
 * Rows are made as positions come into use: all 131072 positions of GPT-OSS would take 32 MiB.
 */
export class RotaryTables {
  readonly #frequencies: Float32Array;
  readonly #attentionFactor: number;
  #rows = 0;
  #cosine = new Float32Array(0);
  #sine = new Float32Array(0);

  constructor(config: Pick<GptOssConfig, 'headDim' | 'rope'>) {
    this.#frequencies = inverseFrequencies(config);
    this.#attentionFactor = config.rope.yarn === null ? 1 : 0.1 * Math.log(config.rope.yarn.factor) + 1;
  }

  /** Rows made so far; at least `positions` after `reserve(positions)`. */
  get rows(): number {
    return this.#rows;
  }

  /** f32 [rows, headDim / 2]: cos(position * frequency) times the attention factor. */
  get cosine(): Float32Array {
    return this.#cosine;
  }

  /** f32 [rows, headDim / 2]: sin(position * frequency) times the attention factor. */
  get sine(): Float32Array {
    return this.#sine;
  }

  /** Makes the tables cover positions 0 to `positions` - 1. Returns whether they were replaced by larger ones. */
  reserve(positions: number): boolean {
    if (positions <= this.#rows) {
      return false;
    }
    const first = this.#rows;
    const rows = Math.max(256, 2 ** Math.ceil(Math.log2(positions)));
    const pairs = this.#frequencies.length;
    const cosine = new Float32Array(rows * pairs);
    const sine = new Float32Array(rows * pairs);
    cosine.set(this.#cosine);
    sine.set(this.#sine);
    for (let position = first; position < rows; position++) {
      for (let pair = 0; pair < pairs; pair++) {
        // transformers forms the angle in f32; doing the same keeps far positions equal to it.
        const angle = Math.fround(position * (this.#frequencies[pair] as number));
        cosine[position * pairs + pair] = Math.cos(angle) * this.#attentionFactor;
        sine[position * pairs + pair] = Math.sin(angle) * this.#attentionFactor;
      }
    }
    this.#rows = rows;
    this.#cosine = cosine;
    this.#sine = sine;
    return true;
  }

  /**
   * Rotates heads in place: of each, the first half of the elements with the second.
   *
   * @param rows f32 [positions.length, stride].
   * @param columns where in a row the heads lie, `headDim` wide each.
   * @param positions each below `this.rows`.
   */
  rotate(rows: Float32Array, columns: Columns, stride: number, positions: Int32Array): void {
    const pairs = this.#frequencies.length;
    for (let row = 0; row < positions.length; row++) {
      const angle = (positions[row] as number) * pairs;
      const end = row * stride + columns.end;
      for (let head = row * stride + columns.start; head < end; head += 2 * pairs) {
        for (let pair = 0; pair < pairs; pair++) {
          const cosine = this.#cosine[angle + pair] as number;
          const sine = this.#sine[angle + pair] as number;
          const first = rows[head + pair] as number;
          const second = rows[head + pairs + pair] as number;
          rows[head + pair] = first * cosine - second * sine;
          rows[head + pairs + pair] = second * cosine + first * sine;
        }
      }
    }
  }
}

/** Rotations per position, in radians, f32 [headDim / 2]. */
function inverseFrequencies({ headDim, rope }: Pick<GptOssConfig, 'headDim' | 'rope'>): Float32Array {
  const pairs = headDim / 2;
  const plain = Float64Array.from({ length: pairs }, (_, pair) => rope.theta ** ((-2 * pair) / headDim));
  const { yarn } = rope;
  if (yarn === null) {
    return Float32Array.from(plain);
  }
  // The pair whose wave makes `rotations` turns over the original context.
  const pairAt = (rotations: number): number =>
    (headDim * Math.log(yarn.originalContextLength / (rotations * 2 * Math.PI))) / (2 * Math.log(rope.theta));
  let low = pairAt(yarn.betaFast);
  let high = pairAt(yarn.betaSlow);
  if (yarn.truncate) {
    low = Math.floor(low);
    high = Math.ceil(high);
  }
  low = Math.max(low, 0);
  high = Math.min(high, headDim - 1);
  const width = Math.max(high - low, 0.001);
  return Float32Array.from(plain, (frequency, pair) => {
    // 0 where the wave is short (kept as trained), 1 where it is long (stretched by the factor).
    const stretched = Math.min(Math.max((pair - low) / width, 0), 1);
    return (frequency / yarn.factor) * stretched + frequency * (1 - stretched);
  });
}
