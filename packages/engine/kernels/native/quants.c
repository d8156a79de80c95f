#include "quants.h"

/* Largest whole number of an activation: high is then at most 127, and low from -64 to 63. */
#define MOST_STEPS 16256.0f
/* Blocks whose largest magnitude is below count as zero: their step would have no reciprocal in f32. */
#define SMALLEST_MAGNITUDE 1e-30f

void quantize_columns(const float *x, Group *output, int columns, int first, int end) {
  const int blocks = columns / MX_COLUMNS;
  const int end_block = end == columns ? groups_of(columns) * GROUP_BLOCKS : end / MX_COLUMNS;
  for (int block = first / MX_COLUMNS; block < end_block; block++) {
    Group *group = output + block / GROUP_BLOCKS;
    const int quarter = block % GROUP_BLOCKS;
    f32x16 a = splat(0), b = splat(0);
    if (block < blocks) {
      a = LOAD(f32x16, x + block * MX_COLUMNS - first);
      b = LOAD(f32x16, x + block * MX_COLUMNS - first + LANES);
    }
    float magnitude = most_of(__builtin_elementwise_max(__builtin_elementwise_abs(a), __builtin_elementwise_abs(b)));
    /* A maximum passes over what is no number. */
    if (__builtin_reduce_or((a != a) | (b != b)) != 0) magnitude = __builtin_nanf("");
    const int is_zero = magnitude < SMALLEST_MAGNITUDE;
    const float inverse = is_zero ? 0 : MOST_STEPS / magnitude;
    const f32x16 even = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const f32x16 odd = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    const i32x16 e = __builtin_convertvector(__builtin_elementwise_roundeven(even * inverse), i32x16);
    const i32x16 o = __builtin_convertvector(__builtin_elementwise_roundeven(odd * inverse), i32x16);
    const i32x16 high_even = (e + 64) >> 7;
    const i32x16 high_odd = (o + 64) >> 7;
    const int at = quarter * MX_BYTES;
    STORE(group->high_even + at, __builtin_convertvector(high_even, i8x16));
    STORE(group->high_odd + at, __builtin_convertvector(high_odd, i8x16));
    STORE(group->low_even + at, __builtin_convertvector(e - (high_even << 7), i8x16));
    STORE(group->low_odd + at, __builtin_convertvector(o - (high_odd << 7), i8x16));
    /* A lane has four bytes of each. */
    const i32x16 both = e + o;
    const i32x8 pairs = both.even + both.odd;
    STORE(group->correction + at / 4, (pairs.even + pairs.odd) * -12);
    /* A magnitude that is no number makes its block, and the sums that it is in, none either. */
    STORE(group->half_step + at / 4, (f32x4)(is_zero ? 0 : 0.5f * (magnitude / MOST_STEPS)));
  }
}

/* Outputs, and rows, that are computed side by side. */
enum { OUTPUTS = 4, ROWS = 4 };
/* So few rows are read again for every output. */
enum { FEW = 2 };
/* Rows of weights that are fetched before they are needed, or of short ones so many as make AHEAD_BYTES. */
enum { AHEAD = 2 * OUTPUTS, AHEAD_BYTES = 4096 };

/* Twice the value of each E2M1 code, plus 12. */
#define UNITS 12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0
static const u8x64 UNIT_TABLE = {UNITS, UNITS, UNITS, UNITS};

/* The exponents of a group's blocks, each as the highest byte of four lanes. */
INLINE u32x16 exponents_of(uint32_t bytes) {
#define FOUR(block) OUTSIDE, OUTSIDE, OUTSIDE, block, OUTSIDE, OUTSIDE, OUTSIDE, block
#define ALL FOUR(0), FOUR(0), FOUR(1), FOUR(1), FOUR(2), FOUR(2), FOUR(3), FOUR(3)
  static const u8x64 places = {ALL};
  return __builtin_bit_cast(u32x16, look_up(__builtin_bit_cast(u8x64, (u32x16)bytes), places));
#undef ALL
#undef FOUR
}

/* The scales of a group's blocks, each in four lanes. Ordinary ones are neither 0 nor 255: only their bits are moved. */
INLINE f32x16 scales_of(uint32_t bytes, const int are_ordinary) {
  const u32x16 exponents = exponents_of(bytes);
  return are_ordinary ? __builtin_bit_cast(f32x16, exponents >> 1) : e8m0_of(exponents >> 24);
}

/* Whether no byte is 0 or 255. */
static int are_ordinary(const uint8_t *scales, size_t count) {
  /* One more than each: those are 1 and 0 then. */
  u8x64 least = (u8x64)(uint8_t)2;
  size_t i = 0;
  for (; i + sizeof(u8x64) <= count; i += sizeof(u8x64)) {
    least = __builtin_elementwise_min(least, LOAD(u8x64, scales + i) + (uint8_t)1);
  }
  uint8_t rest = 2;
  for (; i < count; i++) {
    const uint8_t next = (uint8_t)(scales[i] + 1);
    rest = next < rest ? next : rest;
  }
  return rest > 1 && __builtin_reduce_min(least) > 1;
}

/* A group's weights of one output: twice their values, plus 12. */
typedef struct {
  u8x64 even, odd;
} Weights;

INLINE Weights weights_of(u8x64 codes) {
  const u8x64 nibble = (u8x64)(uint8_t)15;
  const u8x64 upper = __builtin_bit_cast(u8x64, __builtin_bit_cast(u16x32, codes) >> 4);
  return (Weights){look_up(UNIT_TABLE, codes & nibble), look_up(UNIT_TABLE, upper & nibble)};
}

INLINE f32x16 add_product(Weights weights, f32x16 scale, const Group *x, f32x16 sum) {
  i32x16 high = add_products((i32x16)(0), weights.even, LOAD(i8x64, x->high_even));
  high = add_products(high, weights.odd, LOAD(i8x64, x->high_odd));
  i32x16 low = add_products(LOAD(i32x16, x->correction), weights.even, LOAD(i8x64, x->low_even));
  low = add_products(low, weights.odd, LOAD(i8x64, x->low_odd));
  /* Below 2^24: exact as f32. */
  const f32x16 whole = __builtin_convertvector((high << 7) + low, f32x16);
  return fma16(whole, scale * LOAD(f32x16, x->half_step), sum);
}

/* Adds the products of one group of columns. */
INLINE void add_group(const u8x64 *codes, const uint32_t *scales, const Group *const *x, int group,
                      f32x16 sums[ROWS][OUTPUTS], const int outputs, const int rows, const int ordinary) {
  Weights weights[OUTPUTS];
  f32x16 scale[OUTPUTS];
  UNROLL for (int out = 0; out < outputs; out++) {
    weights[out] = weights_of(codes[out]);
    scale[out] = scales_of(scales[out], ordinary);
    if (rows <= FEW) {
      UNROLL for (int row = 0; row < rows; row++) {
        sums[row][out] = add_product(weights[out], scale[out], x[row] + group, sums[row][out]);
      }
    }
  }
  if (rows <= FEW) return;
  /* What is read of a row serves all outputs: else reading would take the longest. */
  UNROLL for (int row = 0; row < rows; row++) {
    UNROLL for (int out = 0; out < outputs; out++) {
      sums[row][out] = add_product(weights[out], scale[out], x[row] + group, sums[row][out]);
    }
  }
}

INLINE u8x64 some_codes(const uint8_t *from, int blocks) {
  u8x64 codes = (u8x64)(uint8_t)0;
  switch (blocks) {
    case 1: __builtin_memcpy(&codes, from, MX_BYTES); break;
    case 2: __builtin_memcpy(&codes, from, 2 * MX_BYTES); break;
    default: __builtin_memcpy(&codes, from, 3 * MX_BYTES); break;
  }
  return codes;
}

INLINE void multiply_tile(const uint8_t *codes, const uint8_t *scales, const float *bias, const Group *const *x, int blocks,
                          int out, float *const *output, int to, const int outputs, const int rows, const int ordinary) {
  f32x16 sums[ROWS][OUTPUTS];
  UNROLL for (int row = 0; row < rows; row++) {
    UNROLL for (int o = 0; o < outputs; o++) sums[row][o] = splat(0);
  }
  const int whole = blocks / GROUP_BLOCKS;
  const size_t ahead = (size_t)at_least(AHEAD * blocks, AHEAD_BYTES / MX_BYTES);
  u8x64 group_codes[OUTPUTS];
  uint32_t group_scales[OUTPUTS];
  for (int group = 0; group < whole; group++) {
    UNROLL for (int o = 0; o < outputs; o++) {
      const size_t block = (size_t)(out + o) * blocks + group * GROUP_BLOCKS;
      group_codes[o] = LOAD(u8x64, codes + block * MX_BYTES);
      group_scales[o] = LOAD(uint32_t, scales + block);
      /* Short rows side by side are no stream that a processor would fetch ahead of its own accord. */
      __builtin_prefetch(codes + (block + ahead) * MX_BYTES);
    }
    add_group(group_codes, group_scales, x, group, sums, outputs, rows, ordinary);
  }
  const int rest = blocks % GROUP_BLOCKS;
  if (rest > 0) {
    /* Nothing is read past the row: it may be the last of the file. */
    UNROLL for (int o = 0; o < outputs; o++) {
      const size_t block = (size_t)(out + o) * blocks + whole * GROUP_BLOCKS;
      group_codes[o] = some_codes(codes + block * MX_BYTES, rest);
      /* What is not there has codes of zero, and a scale that is a number. */
      group_scales[o] = 0;
      for (int i = 0; i < rest; i++) group_scales[o] |= (uint32_t)scales[block + i] << 8 * i;
    }
    add_group(group_codes, group_scales, x, whole, sums, outputs, rows, ordinary);
  }
#if defined(__AVX512F__)
  if (outputs == 4 && rows == 4) {
    const f32x16 all = sums_of_rows(sums);
    const f32x4 addend = LOAD(f32x4, bias + out);
    UNROLL for (int row = 0; row < rows; row++) STORE(output[row] + to, QUARTER(all, row) + addend);
    return;
  }
#endif
  UNROLL for (int row = 0; row < rows; row++) {
    if (outputs == 4) STORE(output[row] + to, sums_of(sums[row]) + LOAD(f32x4, bias + out));
    else UNROLL for (int o = 0; o < outputs; o++) output[row][to + o] = sum_of(sums[row][o]) + bias[out + o];
  }
}

INLINE void multiply_outputs(const uint8_t *codes, const uint8_t *scales, const float *bias, const Group *const *x,
                             int blocks, int first, int end, float *const *output, const int rows, const int ordinary) {
  int out = first;
#define TILE(outputs) multiply_tile(codes, scales, bias, x, blocks, out, output, out - first, outputs, rows, ordinary)
  for (; out + OUTPUTS <= end; out += OUTPUTS) TILE(OUTPUTS);
  for (; out < end; out++) TILE(1);
#undef TILE
}

INLINE void multiply_some(const uint8_t *codes, const uint8_t *scales, const float *bias, const Group *const *x, int blocks,
                          int first, int end, float *const *output, int rows, const int ordinary) {
#define SOME(count) multiply_outputs(codes, scales, bias, x, blocks, first, end, output, count, ordinary)
  switch (rows) {
    case 1: SOME(1); break;
    case 2: SOME(2); break;
    case 3: SOME(3); break;
    default: SOME(ROWS); break;
  }
#undef SOME
}

INLINE void multiply_all(const uint8_t *codes, const uint8_t *scales, const float *bias, const Group *const *x, int blocks,
                         int first, int end, float *const *output, int rows, const int ordinary) {
  for (int row = 0; row < rows; row += ROWS) {
    multiply_some(codes, scales, bias, x + row, blocks, first, end, output + row, at_most(ROWS, rows - row), ordinary);
  }
}

void multiply_quants(const uint8_t *codes, const uint8_t *scales, const float *bias, const Group *const *x, int columns,
                     int first, int end, float *const *output, int rows) {
  const int blocks = columns / MX_COLUMNS;
  multiply_all(codes, scales, bias, x, blocks, first, end, output, rows, 1);
  /* Looked at when they have been read: to wait for them before would cost a tenth of the time. */
  if (are_ordinary(scales + (size_t)first * blocks, (size_t)(end - first) * blocks)) return;
  multiply_all(codes, scales, bias, x, blocks, first, end, output, rows, 0);
}
