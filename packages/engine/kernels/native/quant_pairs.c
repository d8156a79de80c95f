#include "quant_pairs.h"

#if HAS_QUANT_PAIRS

typedef uint32_t u32x4 __attribute__((ext_vector_type(4)));
typedef uint64_t u64x2 __attribute__((ext_vector_type(2)));

#define FIRST_WORDS(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define LAST_WORDS(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)

/* Two vectors of two lanes each, of two rows: each lane of both side by side. */
INLINE void pair_lanes(u32x4 first, u32x4 second, int8_t (*to)[16]) {
  const u64x2 a = __builtin_bit_cast(u64x2, first), b = __builtin_bit_cast(u64x2, second);
  STORE(to[0], __builtin_shufflevector(a, b, 0, 2));
  STORE(to[1], __builtin_shufflevector(a, b, 1, 3));
}

INLINE void pair_rows(const int8_t *const even[2], const int8_t *const odd[2], PairedLanes *output) {
  UNROLL for (int block = 0; block < GROUP_BLOCKS; block++) {
    u32x4 e[2], o[2];
    UNROLL for (int row = 0; row < 2; row++) {
      e[row] = LOAD(u32x4, even[row] + block * MX_BYTES);
      o[row] = LOAD(u32x4, odd[row] + block * MX_BYTES);
    }
    pair_lanes(FIRST_WORDS(e[0], o[0]), FIRST_WORDS(e[1], o[1]), output->bytes + 4 * block);
    pair_lanes(LAST_WORDS(e[0], o[0]), LAST_WORDS(e[1], o[1]), output->bytes + 4 * block + 2);
  }
}

static void pack_rows(const Group *first, const Group *second, int groups, RowPair *output) {
  for (int group = 0; group < groups; group++, first++, second++, output++) {
    pair_rows((const int8_t *const[]){first->high_even, second->high_even},
              (const int8_t *const[]){first->high_odd, second->high_odd}, &output->high);
    pair_rows((const int8_t *const[]){first->low_even, second->low_even},
              (const int8_t *const[]){first->low_odd, second->low_odd}, &output->low);
    for (int block = 0; block < GROUP_BLOCKS; block++) {
      output->half_step[block][0] = first->half_step[4 * block];
      output->half_step[block][1] = second->half_step[4 * block];
    }
  }
}

/* Twice the value of each E2M1 code. */
static const int8_t HALF_UNITS[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* Two lanes of both outputs, from words of codes that alternate between them. */
INLINE void unpack_lanes(u32x4 codes, int8_t (*to)[16]) {
  const int8x16_t table = LOAD(int8x16_t, HALF_UNITS);
  const uint8x16_t bytes = __builtin_bit_cast(uint8x16_t, codes);
  const u32x4 even = __builtin_bit_cast(u32x4, vqtbl1q_s8(table, vandq_u8(bytes, vdupq_n_u8(15))));
  const u32x4 odd = __builtin_bit_cast(u32x4, vqtbl1q_s8(table, vshrq_n_u8(bytes, 4)));
  STORE(to[0], FIRST_WORDS(even, odd));
  STORE(to[1], LAST_WORDS(even, odd));
}

/* Two neighbouring outputs; what a last group has too many is zero. */
static void unpack_outputs(const uint8_t *codes, const uint8_t *scales, int blocks, OutputPair *output) {
  for (int group = 0; group < parts_of(blocks, GROUP_BLOCKS); group++, output++) {
    const int count = at_most(GROUP_BLOCKS, blocks - group * GROUP_BLOCKS);
    u32x16 exponents = (u32x16)(0u);
    for (int block = 0; block < GROUP_BLOCKS; block++) {
      const size_t at = (size_t)group * GROUP_BLOCKS + block;
      u32x4 first = (u32x4)(0u), second = (u32x4)(0u);
      if (block < count) {
        first = LOAD(u32x4, codes + at * MX_BYTES);
        second = LOAD(u32x4, codes + (at + blocks) * MX_BYTES);
        exponents[2 * block] = scales[at];
        exponents[2 * block + 1] = scales[at + blocks];
      }
      unpack_lanes(FIRST_WORDS(first, second), output->units.bytes + 4 * block);
      unpack_lanes(LAST_WORDS(first, second), output->units.bytes + 4 * block + 2);
    }
    const f32x16 values = e8m0_of(exponents);
    __builtin_memcpy(output->scale, &values, sizeof(output->scale));
  }
}

/* The sums of two outputs with two rows: of the first output with both rows, then of the second. */
static f32x4 multiply_tile(const OutputPair *outputs, const RowPair *rows, int groups) {
  /* By lane: what is one vector in quants.c, for each output and row, is the same lane of all four here. */
  f32x4 sums[LANES];
  UNROLL for (int lane = 0; lane < LANES; lane++) sums[lane] = (f32x4)(0);
  for (int group = 0; group < groups; group++, outputs++, rows++) {
    UNROLL for (int block = 0; block < GROUP_BLOCKS; block++) {
      const float *scale = outputs->scale[block], *half_step = rows->half_step[block];
      const f32x4 factor = (f32x4){scale[0], scale[0], scale[1], scale[1]} *
                           (f32x4){half_step[0], half_step[1], half_step[0], half_step[1]};
      UNROLL for (int i = 0; i < 4; i++) {
        const int lane = 4 * block + i;
        const int8x16_t units = LOAD(int8x16_t, outputs->units.bytes[lane]);
        const int32x4_t high = vmmlaq_s32(vdupq_n_s32(0), units, LOAD(int8x16_t, rows->high.bytes[lane]));
        const int32x4_t whole = vmmlaq_s32(vshlq_n_s32(high, 7), units, LOAD(int8x16_t, rows->low.bytes[lane]));
        const f32x4 value = __builtin_convertvector(__builtin_bit_cast(i32x4, whole), f32x4);
        sums[lane] = __builtin_elementwise_fma(value, factor, sums[lane]);
      }
    }
  }
  /* The additions of sum_of. */
  UNROLL for (int lane = 0; lane < 8; lane++) sums[lane] += sums[lane + 8];
  UNROLL for (int lane = 0; lane < 4; lane++) sums[lane] += sums[lane + 4];
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

void multiply_pairs(const uint8_t *codes, const uint8_t *scales, const float *bias, const Group *const *x, int columns,
                    int first, int end, float *const *output, int rows, void *memory) {
  const int blocks = columns / MX_COLUMNS;
  const int groups = groups_of(columns);
  RowPair *row_pairs = memory;
  OutputPair *outputs = (OutputPair *)(row_pairs + (size_t)PAIRS_AT_ONCE * groups);
  for (int done = 0; done < rows; done += 2 * PAIRS_AT_ONCE) {
    const int pairs = at_most(PAIRS_AT_ONCE, (rows - done) / 2);
    for (int pair = 0; pair < pairs; pair++) {
      pack_rows(x[done + 2 * pair], x[done + 2 * pair + 1], groups, row_pairs + (size_t)pair * groups);
    }
    for (int out = first; out < end; out += 2) {
      unpack_outputs(codes + (size_t)out * blocks * MX_BYTES, scales + (size_t)out * blocks, blocks, outputs);
      for (int pair = 0; pair < pairs; pair++) {
        const f32x4 sums = multiply_tile(outputs, row_pairs + (size_t)pair * groups, groups) +
                           (f32x4){bias[out], bias[out], bias[out + 1], bias[out + 1]};
        float *const *to = output + done + 2 * pair;
        STORE(to[0] + out - first, sums.xz);
        STORE(to[1] + out - first, sums.yw);
      }
    }
  }
}

#endif
