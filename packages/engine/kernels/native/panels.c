#include "panels.h"

/* Transposes 16 vectors of 16 lanes in place: four rounds of interleaving. */
INLINE void transpose(u32x16 v[16]) {
  UNROLL for (int round = 0; round < 4; round++) {
    u32x16 next[16];
    UNROLL for (int i = 0; i < 8; i++) {
      next[2 * i] = __builtin_shufflevector(v[i], v[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      next[2 * i + 1] =
          __builtin_shufflevector(v[i], v[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    UNROLL for (int i = 0; i < 16; i++) v[i] = next[i];
  }
}

void pack_tile(const float *const *rows, int count, int columns, float *tile) {
  for (int column = 0; column < columns; column += LANES) {
    u32x16 v[16];
    UNROLL for (int row = 0; row < LANES; row++) {
      v[row] = (u32x16)(0u);
      if (row < count) v[row] = LOAD(u32x16, rows[row] + column);
    }
    transpose(v);
    UNROLL for (int i = 0; i < LANES; i++) __builtin_memcpy(tile + (size_t)(column + i) * TILE_ROWS, &v[i], 4 * TILE_ROWS);
  }
}

void widen_bf16(const uint16_t *weight, int columns, int out, int outputs, float *panel) {
  UNROLL for (int part = 0; part < PANEL_VECTORS; part++) {
    const int first = out + part * LANES;
    for (int column = 0; column < columns; column += 2 * LANES) {
      u32x16 v[16];
      UNROLL for (int o = 0; o < LANES; o++) {
        v[o] = LOAD(u32x16, weight + (size_t)at_most(first + o, outputs - 1) * columns + column);
      }
      /* Lanes become outputs, vectors pairs of columns. */
      transpose(v);
      float *to = panel + (size_t)column * PANEL + part * LANES;
      UNROLL for (int pair = 0; pair < LANES; pair++) {
        STORE(to + (size_t)(2 * pair) * PANEL, even_of(v[pair]));
        STORE(to + (size_t)(2 * pair + 1) * PANEL, odd_of(v[pair]));
      }
    }
  }
}

/* Twice the value of each E2M1 code. */
#define HALF_UNITS 0, 1, 2, 3, 4, 6, 8, 12, 0, 255, 254, 253, 252, 250, 248, 244
static const u8x64 HALF_UNIT_TABLE = {HALF_UNITS, HALF_UNITS, HALF_UNITS, HALF_UNITS};

/* Half of the scales of 16 blocks. */
INLINE f32x16 half_scales(u8x16 bytes) { return e8m0_of(__builtin_convertvector(bytes, u32x16)) * 0.5f; }

/* One column of 16 outputs: a byte of each 32 bits, as a signed number. */
INLINE f32x16 column_of(u32x16 units, int byte) {
  const i32x16 upper = __builtin_bit_cast(i32x16, units << (uint32_t)(24 - 8 * byte));
  return __builtin_convertvector(upper >> 24, f32x16);
}

/* Four outputs' codes of a block, 16 bytes each, side by side. */
INLINE u32x16 four_codes(const uint8_t *const *codes) {
  u32x16 four;
  UNROLL for (int o = 0; o < 4; o++) __builtin_memcpy((char *)&four + o * MX_BYTES, codes[o], MX_BYTES);
  return four;
}

/* The word `word` of 16 outputs, from four times four of them. */
#define WORDS_OF(v, word)                                                                                               \
  __builtin_shufflevector(__builtin_shufflevector(v[0], v[1], word, word + 4, word + 8, word + 12, word + 16, word + 20, \
                                                  word + 24, word + 28),                                                 \
                          __builtin_shufflevector(v[2], v[3], word, word + 4, word + 8, word + 12, word + 16, word + 20, \
                                                  word + 24, word + 28),                                                 \
                          0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)

/* Writes 8 columns of 16 outputs: a word of codes each. */
INLINE void store_columns(u32x16 words, f32x16 scale, float *to) {
  const u8x64 nibble = (u8x64)(uint8_t)15;
  const u8x64 lower = __builtin_bit_cast(u8x64, words);
  const u8x64 upper = __builtin_bit_cast(u8x64, words >> 4);
  const u32x16 even = __builtin_bit_cast(u32x16, look_up(HALF_UNIT_TABLE, lower & nibble));
  const u32x16 odd = __builtin_bit_cast(u32x16, look_up(HALF_UNIT_TABLE, upper & nibble));
  UNROLL for (int byte = 0; byte < 4; byte++) {
    STORE(to + (size_t)(2 * byte) * PANEL, column_of(even, byte) * scale);
    STORE(to + (size_t)(2 * byte + 1) * PANEL, column_of(odd, byte) * scale);
  }
}

void widen_mxfp4(const uint8_t *codes, const uint8_t *scales, int columns, int out, int outputs, float *panel) {
  const int blocks = columns / MX_COLUMNS;
  UNROLL for (int part = 0; part < PANEL_VECTORS; part++) {
    const uint8_t *own_codes[LANES], *own_scales[LANES];
    for (int o = 0; o < LANES; o++) {
      const size_t first = (size_t)at_most(out + part * LANES + o, outputs - 1) * blocks;
      own_codes[o] = codes + first * MX_BYTES;
      own_scales[o] = scales + first;
    }
    float *to = panel + part * LANES;
    for (int block = 0; block < blocks; block++, to += (size_t)MX_COLUMNS * PANEL) {
      u8x16 bytes;
      u32x16 v[4];
      UNROLL for (int o = 0; o < LANES; o++) bytes[o] = own_scales[o][block];
      UNROLL for (int four = 0; four < 4; four++) v[four] = four_codes(own_codes + 4 * four);
      UNROLL for (int o = 0; o < LANES; o++) own_codes[o] += MX_BYTES;
      const f32x16 scale = half_scales(bytes);
      store_columns(WORDS_OF(v, 0), scale, to);
      store_columns(WORDS_OF(v, 1), scale, to + (size_t)8 * PANEL);
      store_columns(WORDS_OF(v, 2), scale, to + (size_t)16 * PANEL);
      store_columns(WORDS_OF(v, 3), scale, to + (size_t)24 * PANEL);
    }
  }
}

INLINE void multiply_some(const float *tile, const float *panel, int columns, float *sums, const int rows) {
  f32x16 totals[TILE_ROWS][PANEL_VECTORS];
  UNROLL for (int row = 0; row < rows; row++) {
    UNROLL for (int part = 0; part < PANEL_VECTORS; part++) totals[row][part] = splat(0);
  }
  for (int column = 0; column < columns; column++, tile += TILE_ROWS, panel += PANEL) {
    f32x16 w[PANEL_VECTORS];
    UNROLL for (int part = 0; part < PANEL_VECTORS; part++) w[part] = LOAD(f32x16, panel + part * LANES);
    UNROLL for (int row = 0; row < rows; row++) {
      const f32x16 x = splat(tile[row]);
      UNROLL for (int part = 0; part < PANEL_VECTORS; part++) totals[row][part] = fma16(x, w[part], totals[row][part]);
    }
  }
  UNROLL for (int row = 0; row < rows; row++) {
    UNROLL for (int part = 0; part < PANEL_VECTORS; part++) STORE(sums + row * PANEL + part * LANES, totals[row][part]);
  }
}

void multiply_panel(const float *tile, const float *panel, int columns, int rows, float *sums) {
#define CASE(n) \
  case n: multiply_some(tile, panel, columns, sums, n); break
  switch (rows) {
    CASE(1);
    CASE(2);
    CASE(3);
    CASE(4);
    CASE(5);
#if defined(__AVX512F__)
    CASE(6);
    CASE(7);
    CASE(8);
    CASE(9);
    CASE(10);
    CASE(11);
#endif
    default: multiply_some(tile, panel, columns, sums, TILE_ROWS); break;
  }
#undef CASE
}
