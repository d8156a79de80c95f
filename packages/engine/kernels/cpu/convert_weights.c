/*
 * Checkpoint weights as the blocks of 32 that ONNX Runtime's MatMulNBits takes, for WebAssembly with 128-bit SIMD.
 * src/runners/ort/weight-kernel.ts lays out the memory and makes the tables. A block's value is (code - zero point) * scale,
 * the zero points being 8 for 4-bit codes and 128 for 8-bit codes.
 */

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name), visibility("default"))) name
#define INLINE static inline __attribute__((always_inline))

/* Values that share a scale, and the bytes of an MXFP4 block. */
enum { BLOCK = 32, BLOCK_BYTES = BLOCK / 2 };
/* Largest magnitude in half units. */
enum { MOST_HALF_UNITS = 12 };
enum { ZERO_POINT_8 = 128 };
#define MOST_STEPS_8 127.0f

/* Twice the value of each E2M1 code. */
#define HALF_UNITS wasm_i8x16_const(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)

/* A block's codes: [0] those in low nibbles, the columns of even index, [1] those in high nibbles. */
INLINE void codes_of(const uint8_t *bytes, v128_t codes[2]) {
  const v128_t both = wasm_v128_load(bytes);
  codes[0] = wasm_v128_and(both, wasm_i8x16_const_splat(15));
  codes[1] = wasm_u8x16_shr(both, 4);
}

INLINE int largest_byte(v128_t values) {
  values = wasm_u8x16_max(values, wasm_i64x2_shuffle(values, values, 1, 0));
  values = wasm_u8x16_max(values, wasm_i32x4_shuffle(values, values, 1, 0, 3, 2));
  values = wasm_u8x16_max(values, wasm_i16x8_shuffle(values, values, 1, 0, 3, 2, 5, 4, 7, 6));
  values = wasm_u8x16_max(values, wasm_u16x8_shr(values, 8));
  return wasm_u8x16_extract_lane(values, 0);
}

/* The half units of largest magnitude, the first of equals. */
INLINE int extreme_of(const v128_t codes[2]) {
  const v128_t even = wasm_i8x16_swizzle(HALF_UNITS, codes[0]);
  const v128_t odd = wasm_i8x16_swizzle(HALF_UNITS, codes[1]);
  const v128_t magnitudes[2] = {wasm_i8x16_abs(even), wasm_i8x16_abs(odd)};
  const int most = largest_byte(wasm_u8x16_max(magnitudes[0], magnitudes[1]));
  if (most == 0) return 0;
  const v128_t wanted = wasm_i8x16_splat((int8_t)most);
  const uint32_t in_even = wasm_i8x16_bitmask(wasm_i8x16_eq(magnitudes[0], wanted));
  const uint32_t in_odd = wasm_i8x16_bitmask(wasm_i8x16_eq(magnitudes[1], wanted));
  /* A bit beyond the sixteen lanes, for where there is none. */
  const int first_even = __builtin_ctz(in_even | 65536), first_odd = __builtin_ctz(in_odd | 65536);
  const uint32_t negative = wasm_i8x16_bitmask(first_even <= first_odd ? even : odd);
  const int lane = first_even <= first_odd ? first_even : first_odd;
  return negative >> lane & 1 ? -most : most;
}

/*
 * MXFP4 blocks as 4-bit codes, u8 [blocks][16]. By a block's extreme: `codes4` u8 [25][16] holds each MXFP4 code's 4-bit
 * code and `steps` f32 [25] the half units of a step, both from -12 on. `scales_of` f32 [256]: half of each exponent's scale.
 */
void EXPORT(mxfp4_to_blocks4)(const uint8_t *bytes, const uint8_t *exponents, const uint8_t *codes4, const float *steps,
                              const float *scales_of, uint8_t *output, float *scales, int blocks) {
  for (int block = 0; block < blocks; block++, bytes += BLOCK_BYTES, output += BLOCK_BYTES) {
    v128_t codes[2];
    codes_of(bytes, codes);
    const int row = extreme_of(codes) + MOST_HALF_UNITS;
    const v128_t table = wasm_v128_load(codes4 + row * 16);
    const v128_t low = wasm_i8x16_swizzle(table, codes[0]);
    const v128_t high = wasm_i8x16_shl(wasm_i8x16_swizzle(table, codes[1]), 4);
    wasm_v128_store(output, wasm_v128_or(low, high));
    scales[block] = steps[row] * scales_of[exponents[block]];
  }
}

/* MXFP4 blocks as 8-bit codes of half units, u8 [blocks][32]: no value changes. `scales_of` as above. */
void EXPORT(mxfp4_to_blocks8)(const uint8_t *bytes, const uint8_t *exponents, const float *scales_of, uint8_t *output,
                              float *scales, int blocks) {
  const v128_t table = wasm_i8x16_add(HALF_UNITS, wasm_u8x16_const_splat(ZERO_POINT_8));
  for (int block = 0; block < blocks; block++, bytes += BLOCK_BYTES, output += BLOCK) {
    v128_t codes[2];
    codes_of(bytes, codes);
    const v128_t even = wasm_i8x16_swizzle(table, codes[0]);
    const v128_t odd = wasm_i8x16_swizzle(table, codes[1]);
    wasm_v128_store(output, wasm_i8x16_shuffle(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    wasm_v128_store(output + 16,
                    wasm_i8x16_shuffle(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
    scales[block] = scales_of[exponents[block]];
  }
}

/* Four f32 values as whole steps. */
INLINE v128_t whole_steps(v128_t values, v128_t inverse) {
  return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(wasm_f32x4_mul(values, inverse)));
}

/* The scale of a block by its largest magnitude. Of a NaN or an infinity it is no number, so that no product is one. */
INLINE float scale_of(float magnitude) { return magnitude / MOST_STEPS_8 + (magnitude - magnitude); }

/* Steps in a unit. */
INLINE v128_t inverse_of(float magnitude) {
  return wasm_f32x4_splat(magnitude == 0 ? 0 : MOST_STEPS_8 / magnitude);
}

/* Eight bf16 values as 8-bit codes in 16-bit lanes. */
INLINE v128_t eight_codes(v128_t halves, v128_t inverse) {
  const v128_t low = wasm_i32x4_shl(wasm_u32x4_extend_low_u16x8(halves), 16);
  const v128_t high = wasm_i32x4_shl(wasm_u32x4_extend_high_u16x8(halves), 16);
  const v128_t steps = wasm_i16x8_narrow_i32x4(whole_steps(low, inverse), whole_steps(high, inverse));
  return wasm_i16x8_add_sat(steps, wasm_i16x8_const_splat(ZERO_POINT_8));
}

/* bf16 values as 8-bit codes, u8 [blocks][32]: the largest magnitude of a block is 127 steps. */
void EXPORT(bf16_to_blocks8)(const uint16_t *values, uint8_t *output, float *scales, int blocks) {
  for (int block = 0; block < blocks; block++, values += BLOCK, output += BLOCK) {
    v128_t halves[BLOCK / 8];
    v128_t most = wasm_i16x8_const_splat(0);
    for (int part = 0; part < BLOCK / 8; part++) {
      halves[part] = wasm_v128_load(values + 8 * part);
      most = wasm_u16x8_max(most, wasm_v128_and(halves[part], wasm_i16x8_const_splat(0x7fff)));
    }
    most = wasm_u16x8_max(most, wasm_i64x2_shuffle(most, most, 1, 0));
    most = wasm_u16x8_max(most, wasm_i32x4_shuffle(most, most, 1, 0, 3, 2));
    most = wasm_u16x8_max(most, wasm_i16x8_shuffle(most, most, 1, 0, 3, 2, 5, 4, 7, 6));
    const uint32_t bits = (uint32_t)wasm_u16x8_extract_lane(most, 0) << 16;
    float magnitude;
    __builtin_memcpy(&magnitude, &bits, sizeof magnitude);
    scales[block] = scale_of(magnitude);
    const v128_t inverse = inverse_of(magnitude);
    for (int part = 0; part < BLOCK / 8; part += 2) {
      const v128_t a = eight_codes(halves[part], inverse);
      const v128_t b = eight_codes(halves[part + 1], inverse);
      wasm_v128_store(output + 8 * part, wasm_u8x16_narrow_i16x8(a, b));
    }
  }
}

/* Eight f32 values as 8-bit codes in 16-bit lanes. */
INLINE v128_t eight_codes_f32(const float *values, v128_t inverse) {
  const v128_t low = whole_steps(wasm_v128_load(values), inverse);
  const v128_t high = whole_steps(wasm_v128_load(values + 4), inverse);
  return wasm_i16x8_add_sat(wasm_i16x8_narrow_i32x4(low, high), wasm_i16x8_const_splat(ZERO_POINT_8));
}

/* f32 values as 8-bit codes, as bf16_to_blocks8 makes them. */
void EXPORT(f32_to_blocks8)(const float *values, uint8_t *output, float *scales, int blocks) {
  for (int block = 0; block < blocks; block++, values += BLOCK, output += BLOCK) {
    /* Magnitudes rise with their bits, NaN above infinity. */
    v128_t most = wasm_i32x4_const_splat(0);
    for (int part = 0; part < BLOCK / 4; part++)
      most = wasm_u32x4_max(most, wasm_f32x4_abs(wasm_v128_load(values + 4 * part)));
    most = wasm_u32x4_max(most, wasm_i64x2_shuffle(most, most, 1, 0));
    most = wasm_u32x4_max(most, wasm_i32x4_shuffle(most, most, 1, 0, 3, 2));
    const float magnitude = wasm_f32x4_extract_lane(most, 0);
    scales[block] = scale_of(magnitude);
    const v128_t inverse = inverse_of(magnitude);
    for (int part = 0; part < BLOCK; part += 16) {
      const v128_t a = eight_codes_f32(values + part, inverse);
      const v128_t b = eight_codes_f32(values + part + 8, inverse);
      wasm_v128_store(output + part, wasm_u8x16_narrow_i16x8(a, b));
    }
  }
}
