/*
 * Vectors of 16 lanes, whatever the processor's are: the compiler cuts them into registers. Every library so computes the
 * same bits: sums run in the same order, and multiplications that are added are fused everywhere.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

enum { LANES = 16 };

typedef float f32x16 __attribute__((ext_vector_type(16)));
typedef float f32x8 __attribute__((ext_vector_type(8)));
typedef float f32x4 __attribute__((ext_vector_type(4)));
typedef int32_t i32x16 __attribute__((ext_vector_type(16)));
typedef int32_t i32x8 __attribute__((ext_vector_type(8)));
typedef int32_t i32x4 __attribute__((ext_vector_type(4)));
typedef uint32_t u32x16 __attribute__((ext_vector_type(16)));
typedef uint16_t u16x16 __attribute__((ext_vector_type(16)));
typedef uint8_t u8x16 __attribute__((ext_vector_type(16)));
typedef uint8_t u8x64 __attribute__((ext_vector_type(64)));
typedef int8_t i8x16 __attribute__((ext_vector_type(16)));
typedef int8_t i8x64 __attribute__((ext_vector_type(64)));
typedef uint16_t u16x32 __attribute__((ext_vector_type(32)));

/* Loads and stores at any alignment of the type's elements, and of bytes: a checkpoint promises none. */
#define LOAD(type, from)                        \
  ({                                            \
    type value_;                                \
    __builtin_memcpy(&value_, from, sizeof(type)); \
    value_;                                     \
  })
#define STORE(to, value)                                  \
  do {                                                    \
    __typeof__(value) value_ = value;                     \
    __builtin_memcpy(to, &value_, sizeof(value_));        \
  } while (0)

INLINE f32x16 splat(float value) { return (f32x16)value; }

INLINE f32x16 fma16(f32x16 a, f32x16 b, f32x16 c) { return __builtin_elementwise_fma(a, b, c); }

/* The sum of the lanes: halves onto each other. */
INLINE float sum_of(f32x16 v) {
  const f32x8 a = v.lo + v.hi;
  const f32x4 b = a.lo + a.hi;
  return (b.x + b.z) + (b.y + b.w);
}

/* The same of four vectors, by the same additions. */
INLINE f32x4 sums_of(const f32x16 v[4]) {
  f32x4 quarters[4];
  UNROLL for (int i = 0; i < 4; i++) {
    const f32x8 half = v[i].lo + v[i].hi;
    quarters[i] = half.lo + half.hi;
  }
  const f32x4 a = __builtin_shufflevector(quarters[0], quarters[1], 0, 1, 4, 5) +
                  __builtin_shufflevector(quarters[0], quarters[1], 2, 3, 6, 7);
  const f32x4 b = __builtin_shufflevector(quarters[2], quarters[3], 0, 1, 4, 5) +
                  __builtin_shufflevector(quarters[2], quarters[3], 2, 3, 6, 7);
  return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
}

#if defined(__AVX512F__)
/* The same of four rows of four vectors, whose halves are added at once: the sums of the first row, then of the next. */
INLINE f32x16 sums_of_rows(f32x16 v[4][4]) {
#define HALVES(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) + \
                     __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define QUARTERS(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) + \
                       __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
#define PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) + \
                    __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define LAST(a, b) __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) + \
                   __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31)
  f32x16 quarters[4];
  UNROLL for (int i = 0; i < 4; i++) {
    const f32x16 first = HALVES(v[0][i], v[1][i]);
    const f32x16 second = HALVES(v[2][i], v[3][i]);
    quarters[i] = QUARTERS(first, second);
  }
  const f32x16 first = PAIRS(quarters[0], quarters[1]);
  const f32x16 second = PAIRS(quarters[2], quarters[3]);
  return LAST(first, second);
#undef LAST
#undef PAIRS
#undef QUARTERS
#undef HALVES
}
#endif

INLINE float most_of(f32x16 v) {
  const f32x8 a = __builtin_elementwise_max(v.lo, v.hi);
  const f32x4 b = __builtin_elementwise_max(a.lo, a.hi);
  const float c = b.x > b.z ? b.x : b.z;
  const float d = b.y > b.w ? b.y : b.w;
  return c > d ? c : d;
}

/* bf16 is the upper half of an f32. */
INLINE float widen(uint16_t bf16) {
  const uint32_t bits = (uint32_t)bf16 << 16;
  return __builtin_bit_cast(float, bits);
}

/* Four neighbouring lanes of 16. */
#define QUARTER(v, number) LOAD(f32x4, (const float *)&(v) + 4 * (number))

/* Neighbouring pairs of bf16 in 32 bits: the one at the lower address, and the other. */
INLINE f32x16 even_of(u32x16 pairs) { return __builtin_bit_cast(f32x16, pairs << 16); }
INLINE f32x16 odd_of(u32x16 pairs) { return __builtin_bit_cast(f32x16, pairs & 0xffff0000u); }

/* The scales that E8M0 bytes stand for: 2^(byte - 127), the smallest of which is subnormal; 255 is no number. */
INLINE f32x16 e8m0_of(u32x16 bytes) {
  const u32x16 half = (u32x16)(0x400000u);
  const u32x16 bits = __builtin_elementwise_max(bytes << 23, half);
  return __builtin_bit_cast(f32x16, (bytes == (u32x16)(255u)) ? bits | half : bits);
}

/*
 * e^x for x up to 88, within 2 units in the last place; below -87 it stays at about 1e-38. Cody and Waite's reduction to
 * |r| <= ln(2) / 2, then the polynomial of Moshier's Cephes library (expf).
 */
INLINE f32x16 exponential(f32x16 x) {
  /* Written so that no number stays none. */
  x = (x < splat(-87.0f)) ? splat(-87.0f) : x;
  const f32x16 power = __builtin_elementwise_roundeven(x * 1.44269504088896341f);
  f32x16 r = fma16(power, splat(-0.693359375f), x);
  r = fma16(power, splat(2.12194440e-4f), r);
  f32x16 p = splat(1.9875691500e-4f);
  p = fma16(p, r, splat(1.3981999507e-3f));
  p = fma16(p, r, splat(8.3334519073e-3f));
  p = fma16(p, r, splat(4.1665795894e-2f));
  p = fma16(p, r, splat(1.6666665459e-1f));
  p = fma16(p, r, splat(5.0000001201e-1f));
  p = fma16(p, r, splat(1.0f));
  p = fma16(p, r, splat(1.0f));
  const i32x16 exponent = (__builtin_convertvector(power, i32x16) + 127) << 23;
  return p * __builtin_bit_cast(f32x16, exponent);
}

/* Looks up 64 indices in a table of 16 bytes, which stands in every quarter of `table`; gives 0 for OUTSIDE. */
enum { OUTSIDE = 128 };
INLINE u8x64 look_up(u8x64 table, u8x64 index) {
#if defined(__AVX512BW__)
  return __builtin_bit_cast(
      u8x64, _mm512_shuffle_epi8(__builtin_bit_cast(__m512i, table), __builtin_bit_cast(__m512i, index)));
#elif defined(__AVX2__)
  u8x64 found;
  UNROLL for (int half = 0; half < 2; half++) {
    const __m256i t = LOAD(__m256i, (const char *)&table + 32 * half);
    const __m256i i = LOAD(__m256i, (const char *)&index + 32 * half);
    const __m256i f = _mm256_shuffle_epi8(t, i);
    __builtin_memcpy((char *)&found + 32 * half, &f, 32);
  }
  return found;
#elif defined(__aarch64__)
  u8x64 found;
  const uint8x16_t t = LOAD(uint8x16_t, &table);
  UNROLL for (int part = 0; part < 4; part++) {
    const uint8x16_t f = vqtbl1q_u8(t, LOAD(uint8x16_t, (const char *)&index + 16 * part));
    __builtin_memcpy((char *)&found + 16 * part, &f, 16);
  }
  return found;
#endif
}

/* Adds to every 32-bit lane the products of its four bytes: `w` from 0 to 24, `x` from -127 to 127. Exact. */
INLINE i32x16 add_products(i32x16 sums, u8x64 w, i8x64 x) {
#if defined(__AVX512VNNI__)
  return __builtin_bit_cast(i32x16, _mm512_dpbusd_epi32(__builtin_bit_cast(__m512i, sums), __builtin_bit_cast(__m512i, w),
                                                        __builtin_bit_cast(__m512i, x)));
#elif defined(__AVX2__)
  i32x16 result;
  UNROLL for (int half = 0; half < 2; half++) {
    const __m256i a = LOAD(__m256i, (const char *)&w + 32 * half);
    const __m256i b = LOAD(__m256i, (const char *)&x + 32 * half);
    /* Pairs are at most 2 * 24 * 127: far from where 16 bits saturate. */
    const __m256i products = _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1));
    const __m256i s = _mm256_add_epi32(LOAD(__m256i, (const char *)&sums + 32 * half), products);
    __builtin_memcpy((char *)&result + 32 * half, &s, 32);
  }
  return result;
#elif defined(__aarch64__)
  i32x16 result;
  UNROLL for (int part = 0; part < 4; part++) {
    const int8x16_t a = LOAD(int8x16_t, (const char *)&w + 16 * part);
    const int8x16_t b = LOAD(int8x16_t, (const char *)&x + 16 * part);
    const int32x4_t s = vdotq_s32(LOAD(int32x4_t, (const char *)&sums + 16 * part), a, b);
    __builtin_memcpy((char *)&result + 16 * part, &s, 16);
  }
  return result;
#endif
}
