/*
 * The arithmetic of GPT-OSS experts on MXFP4 weights as they lie in the checkpoint, for WebAssembly with 128-bit SIMD.
 * TypeScript (src/experts/mxfp4-experts.ts) lays out the memory and walks the dispatch plan; src/experts/expert-reference.ts
 * says in plain words what is computed.
 *
 * A weight is four bits and its part of a scale, so a token's experts read an eighth of the memory that f32 weights
 * would take. Twice an MXFP4 value is a whole number, at most 12, times the scale of its block of 32; activations become
 * whole numbers of 31 bits times a step for each block. The products within a block are then exact in integers, and only
 * the sum over the blocks is f32. A row's result does not depend on which other rows are computed with it.
 */

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name), visibility("default"))) name
#define INLINE static inline __attribute__((always_inline))

/* Values that share a scale, and the bytes of their codes. */
enum { BLOCK = 32, BLOCK_BYTES = 16 };
/* Rows of activations that one pass over the weights serves. */
enum { MOST_ROWS = 4 };

/* Twice the value of each E2M1 code. */
#define HALF_UNITS wasm_i8x16_const(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)

/*
 * A block of activations: x = step * (32768 * high + low), step standing elsewhere. In the order in which codes come out
 * of their bytes: the sixteen of even index (low nibbles), then the sixteen of odd index.
 */
typedef struct {
  int16_t high[BLOCK];
  int16_t low[BLOCK];
} Activations;

/* Largest whole number of an activation: its high part is then at most 32767. */
#define MOST_STEPS 1073709056.0f
/* Blocks whose largest magnitude is below count as zero: their step would have no reciprocal in f32. */
#define SMALLEST_MAGNITUDE 1e-29f

/* A block's codes as half units: [0] those of even index, [1] those of odd index. */
INLINE void half_units(const uint8_t *codes, v128_t values[2]) {
  const v128_t nibble = wasm_i8x16_const_splat(15);
  const v128_t pairs = wasm_v128_load(codes);
  values[0] = wasm_i8x16_swizzle(HALF_UNITS, wasm_v128_and(pairs, nibble));
  /* A shift of 16-bit lanes and a mask: one instruction each, which a shift of bytes is not. */
  values[1] = wasm_i8x16_swizzle(HALF_UNITS, wasm_v128_and(wasm_u16x8_shr(pairs, 4), nibble));
}

INLINE void weights_of(const uint8_t *codes, v128_t weights[4]) {
  v128_t values[2];
  half_units(codes, values);
  weights[0] = wasm_i16x8_extend_low_i8x16(values[0]);
  weights[1] = wasm_i16x8_extend_high_i8x16(values[0]);
  weights[2] = wasm_i16x8_extend_low_i8x16(values[1]);
  weights[3] = wasm_i16x8_extend_high_i8x16(values[1]);
}

/* Four partial sums of a block, exact: at most 32 * 12 * 32767, below 2^24. */
INLINE v128_t dot(const v128_t weights[4], const v128_t x[4]) {
  const v128_t a = wasm_i32x4_add(wasm_i32x4_dot_i16x8(weights[0], x[0]), wasm_i32x4_dot_i16x8(weights[1], x[1]));
  const v128_t b = wasm_i32x4_add(wasm_i32x4_dot_i16x8(weights[2], x[2]), wasm_i32x4_dot_i16x8(weights[3], x[3]));
  return wasm_f32x4_convert_i32x4(wasm_i32x4_add(a, b));
}

INLINE float sum(v128_t v) {
  v = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1);
}

INLINE void linear_rows(const uint8_t *codes, const float *scales, const float *bias, const Activations *input,
                        const float *steps, float *output, int outputs, int blocks, const int rows) {
  for (int out = 0; out < outputs; out++) {
    v128_t sums[MOST_ROWS];
    for (int row = 0; row < rows; row++) {
      sums[row] = wasm_f32x4_const_splat(0);
    }
    for (int block = 0; block < blocks; block++, codes += BLOCK_BYTES, scales++) {
      v128_t weights[4];
      weights_of(codes, weights);
      const v128_t scale = wasm_v128_load32_splat(scales);
      for (int row = 0; row < rows; row++) {
        const v128_t *x = (const v128_t *)(input + row * blocks + block);
        const v128_t high = wasm_f32x4_mul(dot(weights, x), wasm_f32x4_const_splat(32768.0f));
        const v128_t whole = wasm_f32x4_add(high, dot(weights, x + 4));
        const v128_t step = wasm_v128_load32_splat(steps + row * blocks + block);
        sums[row] = wasm_f32x4_add(sums[row], wasm_f32x4_mul(whole, wasm_f32x4_mul(scale, step)));
      }
    }
    for (int row = 0; row < rows; row++) {
      output[row * outputs + out] = sum(sums[row]) + bias[out];
    }
  }
}

/*
 * output[row][out] = bias[out] + sum over columns of weight[out][column] * input[row][column], for 1 to 4 rows.
 * codes [outputs][blocks][16], scales f32 [outputs][blocks] of half units, bias f32 [outputs], input [rows][blocks] with
 * its steps as `quantize` leaves them, output f32 [rows][outputs].
 */
void EXPORT(linear)(const uint8_t *codes, const float *scales, const float *bias, const Activations *input,
                    const float *steps, float *output, int outputs, int blocks, int rows) {
  switch (rows) {
    case 1: linear_rows(codes, scales, bias, input, steps, output, outputs, blocks, 1); break;
    case 2: linear_rows(codes, scales, bias, input, steps, output, outputs, blocks, 2); break;
    case 3: linear_rows(codes, scales, bias, input, steps, output, outputs, blocks, 3); break;
    default: linear_rows(codes, scales, bias, input, steps, output, outputs, blocks, 4); break;
  }
}

/* Four neighbouring values as whole steps. */
INLINE v128_t whole_steps(const float *input, v128_t inverse) {
  return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(wasm_f32x4_mul(wasm_v128_load(input), inverse)));
}

/* One row f32 [blocks * 32] as activations [blocks] with their steps f32 [blocks]. */
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
    for (int from = 0; from < BLOCK; from += 8) {
      const v128_t a = whole_steps(input + from, inverse);
      const v128_t b = whole_steps(input + from + 4, inverse);
      const v128_t even = wasm_i32x4_shuffle(a, b, 0, 2, 4, 6);
      const v128_t odd = wasm_i32x4_shuffle(a, b, 1, 3, 5, 7);
      const v128_t high = wasm_i16x8_narrow_i32x4(wasm_i32x4_shr(even, 15), wasm_i32x4_shr(odd, 15));
      const v128_t mask = wasm_i32x4_const_splat(32767);
      const v128_t low = wasm_i16x8_narrow_i32x4(wasm_v128_and(even, mask), wasm_v128_and(odd, mask));
      wasm_v128_store64_lane(output->high + from / 2, high, 0);
      wasm_v128_store64_lane(output->high + BLOCK / 2 + from / 2, high, 1);
      wasm_v128_store64_lane(output->low + from / 2, low, 0);
      wasm_v128_store64_lane(output->low + BLOCK / 2 + from / 2, low, 1);
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
 * up = input[2 i + 1] clamped to [-limit, limit]. `columns` is a multiple of 4. The output may lie where the input does.
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

/* output = the sum over k, in order, of weights[k] * values[positions[k]], values f32 [.][columns]. */
void EXPORT(combine)(const float *values, const int32_t *positions, const float *weights, float *output, int terms,
                     int columns) {
  for (int column = 0; column < columns; column += 4) {
    v128_t total = wasm_f32x4_const_splat(0);
    for (int term = 0; term < terms; term++) {
      const v128_t value = wasm_v128_load(values + positions[term] * columns + column);
      total = wasm_f32x4_add(total, wasm_f32x4_mul(value, wasm_v128_load32_splat(weights + term)));
    }
    wasm_v128_store(output + column, total);
  }
}

/* Eight half units times their scale, as f32. */
INLINE void store_values(v128_t units, v128_t scale, float *output) {
  wasm_v128_store(output, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(units)), scale));
  wasm_v128_store(output + 4, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(units)), scale));
}

/*
 * Weights as f32 [outputs][blocks * 32]. With `halves` the outputs of even index come first and those of odd index
 * after them: gate and up, which GPT-OSS interleaves.
 */
void EXPORT(unpack)(const uint8_t *codes, const float *scales, float *output, int outputs, int blocks, int halves) {
  for (int out = 0; out < outputs; out++) {
    const int target = halves ? out / 2 + out % 2 * (outputs / 2) : out;
    float *row = output + target * blocks * BLOCK;
    for (int block = 0; block < blocks; block++, codes += BLOCK_BYTES, scales++, row += BLOCK) {
      v128_t values[2];
      half_units(codes, values);
      const v128_t a = wasm_i8x16_shuffle(values[0], values[1], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const v128_t b =
          wasm_i8x16_shuffle(values[0], values[1], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      const v128_t scale = wasm_v128_load32_splat(scales);
      store_values(wasm_i16x8_extend_low_i8x16(a), scale, row);
      store_values(wasm_i16x8_extend_high_i8x16(a), scale, row + 8);
      store_values(wasm_i16x8_extend_low_i8x16(b), scale, row + 16);
      store_values(wasm_i16x8_extend_high_i8x16(b), scale, row + 24);
    }
  }
}
