/*
 * The arithmetic of GPT-OSS experts on MXFP4 weights, for WebAssembly with 128-bit SIMD. TypeScript
 * (src/experts/mxfp4-experts.ts) lays out the memory and walks the dispatch plan; src/experts/expert-reference.ts says in
 * plain words what is computed.
 *
 * A weight is four bits and its part of a scale, so a token's experts read an eighth of the memory that f32 weights
 * would take. Twice an MXFP4 value is a whole number, at most 12, times the scale of its block of 32; activations become
 * whole numbers of 30 bits times a step for each block. The products within a block are then exact in integers, and only
 * the sum over the blocks is f32. A row's result does not depend on which other rows are computed with it.
 *
 * Eight outputs are computed side by side, four to a vector, so weights lie in tiles of 8 outputs and one block: for
 * outputs 0 to 3 and then 4 to 7, four vectors of 8 columns each, in which every output has the four bytes that it has
 * in the checkpoint. A low nibble is a column of even index, the high nibble the next one.
 */

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name), visibility("default"))) name
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("unroll")
/* TurboFan moves every load to the front of a loop's body: more than fit into the registers would be spilled. */
#define KEEP_LOOP _Pragma("clang loop unroll(disable)")

/* Values that share a scale. */
enum { BLOCK = 32 };
/* Outputs of a tile, those that share a vector, and the bytes of a tile's codes. */
enum { TILE = 8, LANES = 4, TILE_BYTES = TILE * BLOCK / 2 };
/* Columns of the codes in one vector. */
enum { COLUMNS = 8 };
/* Rows of activations that one pass over the weights serves. */
enum { MOST_ROWS = 4 };

/* Twice the value of each E2M1 code. */
#define HALF_UNITS wasm_i8x16_const(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)

/*
 * A block of activations: x = step * (32768 * high + low), step standing elsewhere. Each 8 columns in the order in which
 * weights come out of their bytes: 0, 4, 2, 6, 1, 5, 3, 7.
 */
typedef struct {
  int16_t high[BLOCK];
  int16_t low[BLOCK];
} Activations;

/* Largest whole number of an activation, 16383 * 32768: high is then at most 16383, and low from -16384 to 16383. */
#define MOST_STEPS 536838144.0f
/* Blocks whose largest magnitude is below count as zero: their step would have no reciprocal in f32. */
#define SMALLEST_MAGNITUDE 1e-29f

/* Codes as half units: [0] the columns of even index, [1] those of odd index. */
INLINE void half_units(v128_t codes, v128_t values[2]) {
  const v128_t nibble = wasm_i8x16_const_splat(15);
  values[0] = wasm_i8x16_swizzle(HALF_UNITS, wasm_v128_and(codes, nibble));
  /* A shift of 16-bit lanes and a mask: one instruction each, which a shift of bytes is not. */
  values[1] = wasm_i8x16_swizzle(HALF_UNITS, wasm_v128_and(wasm_u16x8_shr(codes, 4), nibble));
}

/* 256 times the weights, two columns of each of four outputs: those of columns 0, 4; 2, 6; 1, 5; 3, 7. */
INLINE void weights_of(v128_t codes, v128_t weights[4]) {
  v128_t values[2];
  half_units(codes, values);
  /* A byte in the upper half of a 16-bit lane: one instruction, where an extension of the bytes would be two or three. */
  const v128_t upper = wasm_u16x8_const_splat(0xff00);
  weights[0] = wasm_i16x8_shl(values[0], 8);
  weights[1] = wasm_v128_and(values[0], upper);
  weights[2] = wasm_i16x8_shl(values[1], 8);
  weights[3] = wasm_v128_and(values[1], upper);
}

/* Adds the products of 8 columns of four outputs. Within a block exact: at most 32 * 256 * 12 * 16384, below 2^31. */
INLINE v128_t add_products(v128_t totals, const v128_t weights[4], v128_t x) {
#define PRODUCTS(pair) wasm_i32x4_dot_i16x8(weights[pair], wasm_i32x4_shuffle(x, x, pair, pair, pair, pair))
  totals = wasm_i32x4_add(totals, PRODUCTS(0));
  totals = wasm_i32x4_add(totals, PRODUCTS(1));
  totals = wasm_i32x4_add(totals, PRODUCTS(2));
  return wasm_i32x4_add(totals, PRODUCTS(3));
#undef PRODUCTS
}

INLINE void linear_rows(const uint8_t *codes, const float *scales, const float *bias, const Activations *input,
                        const float *steps, const int32_t *indices, float *output, int outputs, int blocks,
                        const int rows) {
  enum { HALVES = TILE / LANES };
  const Activations *row_input[MOST_ROWS];
  const float *row_steps[MOST_ROWS];
  UNROLL for (int row = 0; row < rows; row++) {
    row_input[row] = input + indices[row] * blocks;
    row_steps[row] = steps + indices[row] * blocks;
  }
  for (int out = 0; out < outputs; out += TILE) {
    v128_t sums[MOST_ROWS][HALVES];
    UNROLL for (int row = 0; row < rows; row++) {
      UNROLL for (int half = 0; half < HALVES; half++) {
        sums[row][half] = wasm_f32x4_const_splat(0);
      }
    }
    for (int block = 0; block < blocks; block++, codes += TILE_BYTES, scales += TILE) {
      v128_t high[MOST_ROWS][HALVES], low[MOST_ROWS][HALVES];
      UNROLL for (int row = 0; row < rows; row++) {
        UNROLL for (int half = 0; half < HALVES; half++) {
          high[row][half] = low[row][half] = wasm_i32x4_const_splat(0);
        }
      }
      KEEP_LOOP for (int column = 0; column < BLOCK; column += COLUMNS) {
        UNROLL for (int half = 0; half < HALVES; half++) {
          v128_t weights[4];
          weights_of(wasm_v128_load(codes + half * (TILE_BYTES / HALVES) + column / COLUMNS * 16), weights);
          UNROLL for (int row = 0; row < rows; row++) {
            const Activations *x = row_input[row] + block;
            high[row][half] = add_products(high[row][half], weights, wasm_v128_load(x->high + column));
            low[row][half] = add_products(low[row][half], weights, wasm_v128_load(x->low + column));
          }
        }
      }
      UNROLL for (int half = 0; half < HALVES; half++) {
        const v128_t scale = wasm_v128_load(scales + half * LANES);
        UNROLL for (int row = 0; row < rows; row++) {
          /* Multiples of 256 below 2^31 are exact in f32. */
          const v128_t a = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(high[row][half]), wasm_f32x4_const_splat(128.0f));
          const v128_t b = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(low[row][half]), wasm_f32x4_const_splat(1.0f / 256));
          const v128_t step = wasm_v128_load32_splat(row_steps[row] + block);
          const v128_t whole = wasm_f32x4_add(a, b);
          sums[row][half] = wasm_f32x4_add(sums[row][half], wasm_f32x4_mul(whole, wasm_f32x4_mul(scale, step)));
        }
      }
    }
    UNROLL for (int row = 0; row < rows; row++) {
      UNROLL for (int half = 0; half < HALVES; half++) {
        const int first = out + half * LANES;
        const v128_t total = wasm_f32x4_add(sums[row][half], wasm_v128_load(bias + first));
        wasm_v128_store(output + row * outputs + first, total);
      }
    }
  }
}

/*
 * output[row][out] = bias[out] + sum over columns of weight[out][column] * input[indices[row]][column], for 1 to 4 rows.
 * codes [outputs / 8][blocks] tiles, scales f32 [outputs / 8][blocks][8] of half units, bias f32 [outputs], input
 * [.][blocks] with its steps as `quantize` leaves them, output f32 [rows][outputs]. `outputs` is a multiple of 8.
 */
void EXPORT(linear)(const uint8_t *codes, const float *scales, const float *bias, const Activations *input,
                    const float *steps, const int32_t *indices, float *output, int outputs, int blocks, int rows) {
  switch (rows) {
    case 1: linear_rows(codes, scales, bias, input, steps, indices, output, outputs, blocks, 1); break;
    case 2: linear_rows(codes, scales, bias, input, steps, indices, output, outputs, blocks, 2); break;
    case 3: linear_rows(codes, scales, bias, input, steps, indices, output, outputs, blocks, 3); break;
    default: linear_rows(codes, scales, bias, input, steps, indices, output, outputs, blocks, 4); break;
  }
}

/* Four neighbouring values as whole steps. */
INLINE v128_t whole_steps(const float *input, v128_t inverse) {
  return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(wasm_f32x4_mul(wasm_v128_load(input), inverse)));
}

/* Rows f32 [blocks * 32], one or more on end, as activations [blocks] with their steps f32 [blocks]. */
void EXPORT(quantize)(const float *input, Activations *output, float *steps, int blocks) {
  for (int block = 0; block < blocks; block++, input += BLOCK, output++) {
    v128_t most = wasm_f32x4_const_splat(0);
    for (int index = 0; index < BLOCK; index += 4) {
      most = wasm_f32x4_max(most, wasm_f32x4_abs(wasm_v128_load(input + index)));
    }
    most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 2, 3, 0, 1));
    most = wasm_f32x4_max(most, wasm_i32x4_shuffle(most, most, 1, 0, 3, 2));
    const float magnitude = wasm_f32x4_extract_lane(most, 0);
    const int is_zero = magnitude < SMALLEST_MAGNITUDE;
    steps[block] = is_zero ? 0 : magnitude / MOST_STEPS;
    const v128_t inverse = wasm_f32x4_splat(is_zero ? 0 : MOST_STEPS / magnitude);
    for (int from = 0; from < BLOCK; from += COLUMNS) {
      const v128_t a = whole_steps(input + from, inverse);
      const v128_t b = whole_steps(input + from + 4, inverse);
      const v128_t half = wasm_i32x4_const_splat(16384);
      const v128_t high_a = wasm_i32x4_shr(wasm_i32x4_add(a, half), 15);
      const v128_t high_b = wasm_i32x4_shr(wasm_i32x4_add(b, half), 15);
      const v128_t low_a = wasm_i32x4_sub(a, wasm_i32x4_shl(high_a, 15));
      const v128_t low_b = wasm_i32x4_sub(b, wasm_i32x4_shl(high_b, 15));
      const v128_t high = wasm_i16x8_narrow_i32x4(high_a, high_b);
      const v128_t low = wasm_i16x8_narrow_i32x4(low_a, low_b);
      wasm_v128_store(output->high + from, wasm_i16x8_shuffle(high, high, 0, 4, 2, 6, 1, 5, 3, 7));
      wasm_v128_store(output->low + from, wasm_i16x8_shuffle(low, low, 0, 4, 2, 6, 1, 5, 3, 7));
    }
  }
}

/*
 * e^x for x up to 88, within 2 units in the last place; below -87 it stays at about 1e-38. Cody and Waite's reduction
 * to |r| <= ln(2) / 2, then the polynomial of Moshier's Cephes library (expf).
 */
INLINE v128_t exponential(v128_t x) {
  x = wasm_f32x4_max(x, wasm_f32x4_const_splat(-87.0f));
  const v128_t power = wasm_f32x4_nearest(wasm_f32x4_mul(x, wasm_f32x4_const_splat(1.44269504088896341f)));
  v128_t r = wasm_f32x4_sub(x, wasm_f32x4_mul(power, wasm_f32x4_const_splat(0.693359375f)));
  r = wasm_f32x4_add(r, wasm_f32x4_mul(power, wasm_f32x4_const_splat(2.12194440e-4f)));
  v128_t p = wasm_f32x4_const_splat(1.9875691500e-4f);
#define TERM(c) p = wasm_f32x4_add(wasm_f32x4_mul(p, r), wasm_f32x4_const_splat(c))
  TERM(1.3981999507e-3f);
  TERM(8.3334519073e-3f);
  TERM(4.1665795894e-2f);
  TERM(1.6666665459e-1f);
  TERM(5.0000001201e-1f);
  TERM(1.0f);
  TERM(1.0f);
#undef TERM
  const v128_t exponent = wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(power), wasm_i32x4_const_splat(127));
  return wasm_f32x4_mul(p, wasm_i32x4_shl(exponent, 23));
}

/*
 * GPT-OSS's clamped SwiGLU: output[i] = gate * sigmoid(1.702 * gate) * (up + 1), gate = min(input[2 i], limit),
 * up = input[2 i + 1] clamped to [-limit, limit]. `columns` is a multiple of 4, of one
 * row or of rows on end. The output may lie where the input does.
 */
void EXPORT(swiglu)(const float *input, float *output, int columns, float limit) {
  const v128_t most = wasm_f32x4_splat(limit);
  const v128_t one = wasm_f32x4_const_splat(1.0f);
  for (int column = 0; column < columns; column += 4) {
    const v128_t a = wasm_v128_load(input + 2 * column);
    const v128_t b = wasm_v128_load(input + 2 * column + 4);
    const v128_t gate = wasm_f32x4_min(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), most);
    const v128_t up = wasm_f32x4_max(wasm_f32x4_min(wasm_i32x4_shuffle(a, b, 1, 3, 5, 7), most), wasm_f32x4_neg(most));
    /* Beyond 88 the sigmoid is below 1e-38 either way, and e^x would overflow. */
    const v128_t argument = wasm_f32x4_mul(gate, wasm_f32x4_const_splat(-1.702f));
    const v128_t divisor =
        wasm_f32x4_add(one, exponential(wasm_f32x4_min(argument, wasm_f32x4_const_splat(88.0f))));
    wasm_v128_store(output + column, wasm_f32x4_mul(wasm_f32x4_div(gate, divisor), wasm_f32x4_add(up, one)));
  }
}

/*
 * output[token] = the sum over k, in order, of weights[token][k] * values[positions[token][k]], for `terms` k, output
 * f32 [tokens][columns], values f32 [.][columns].
 */
void EXPORT(combine)(const float *values, const int32_t *positions, const float *weights, float *output, int tokens,
                     int terms, int columns) {
  for (int token = 0; token < tokens; token++, positions += terms, weights += terms, output += columns) {
    for (int column = 0; column < columns; column += 4) {
      v128_t total = wasm_f32x4_const_splat(0);
      for (int term = 0; term < terms; term++) {
        const v128_t value = wasm_v128_load(values + positions[term] * columns + column);
        total = wasm_f32x4_add(total, wasm_f32x4_mul(value, wasm_v128_load32_splat(weights + term)));
      }
      wasm_v128_store(output + column, total);
    }
  }
}

/* Eight half units times their scale, as f32. */
INLINE void store_values(v128_t units, v128_t scale, float *output) {
  wasm_v128_store(output, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(units)), scale));
  wasm_v128_store(output + 4, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(units)), scale));
}

/* One output's codes of a block, as the checkpoint has them, from the vectors of a tile. */
INLINE v128_t codes_of_output(const uint8_t *bytes) {
  v128_t codes = wasm_v128_load32_zero(bytes);
  codes = wasm_v128_load32_lane(bytes + 16, codes, 1);
  codes = wasm_v128_load32_lane(bytes + 32, codes, 2);
  return wasm_v128_load32_lane(bytes + 48, codes, 3);
}

/*
 * Weights as f32 [outputs][blocks * 32]. With `halves` the outputs of even index come first and those of odd index
 * after them: gate and up, which GPT-OSS interleaves.
 */
void EXPORT(unpack)(const uint8_t *codes, const float *scales, float *output, int outputs, int blocks, int halves) {
  for (int out = 0; out < outputs; out++) {
    const int target = halves ? out / 2 + out % 2 * (outputs / 2) : out;
    const uint8_t *tile = codes + out / TILE * blocks * TILE_BYTES;
    const uint8_t *bytes = tile + out % TILE / LANES * (TILE_BYTES / 2) + out % LANES * 4;
    const float *scale = scales + out / TILE * blocks * TILE + out % TILE;
    float *row = output + target * blocks * BLOCK;
    for (int block = 0; block < blocks; block++, bytes += TILE_BYTES, scale += TILE, row += BLOCK) {
      v128_t values[2];
      half_units(codes_of_output(bytes), values);
      const v128_t a = wasm_i8x16_shuffle(values[0], values[1], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const v128_t b =
          wasm_i8x16_shuffle(values[0], values[1], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      const v128_t factor = wasm_v128_load32_splat(scale);
      store_values(wasm_i16x8_extend_low_i8x16(a), factor, row);
      store_values(wasm_i16x8_extend_high_i8x16(a), factor, row + 8);
      store_values(wasm_i16x8_extend_low_i8x16(b), factor, row + 16);
      store_values(wasm_i16x8_extend_high_i8x16(b), factor, row + 24);
    }
  }
}
