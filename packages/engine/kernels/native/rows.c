#include "rows.h"

void rms_norm(const float *x, const float *gain, float epsilon, float *output, int width) {
  f32x16 squares = splat(0);
  for (int i = 0; i < width; i += LANES) {
    const f32x16 v = LOAD(f32x16, x + i);
    squares = fma16(v, v, squares);
  }
  const float scale = 1.0f / __builtin_sqrtf(sum_of(squares) / (float)width + epsilon);
  for (int i = 0; i < width; i += LANES) STORE(output + i, LOAD(f32x16, x + i) * scale * LOAD(f32x16, gain + i));
}

void arrange_row(const float *x, float *output, int width) {
  for (int i = 0; i < width; i += 2 * LANES) {
    const f32x16 a = LOAD(f32x16, x + i);
    const f32x16 b = LOAD(f32x16, x + i + LANES);
    STORE(output + i,
          __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
    STORE(output + i + LANES,
          __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31));
  }
}

/*
 * Outputs that are computed side by side of one row, and of several, and how many rows those are: as many sums as there are
 * registers for.
 */
#if defined(__AVX512F__)
enum { OUTPUTS = 4, SHARED_OUTPUTS = 4, ROWS = 4 };
#else
enum { OUTPUTS = 4, SHARED_OUTPUTS = 2, ROWS = 2 };
#endif
/* One row with a wide matrix waits for memory, which a processor reads faster as one stream than as four. */
enum { WIDE = 1024 };
/* Rows of weights of a stream that are fetched before they are needed. */
enum { AHEAD = 2 };
/* For so many rows weights are widened once: each ROWS rows would do it again, for a quarter of their time. */
enum { MANY = 2 * ROWS };

/* `wide` has the weights in f32, even and odd columns apart as in `x`, where is_wide; else `weight` has them. */
INLINE void multiply_tile(const uint16_t *weight, const float *wide, const float *bias, const float *x, int columns,
                          float *output, size_t stride, const int outputs, const int rows, const int is_wide) {
  const int ahead = outputs == 1 ? AHEAD : OUTPUTS;
  f32x16 sums[ROWS][OUTPUTS];
  UNROLL for (int row = 0; row < rows; row++) {
    UNROLL for (int out = 0; out < outputs; out++) sums[row][out] = splat(0);
  }
  for (int column = 0; column < columns; column += 2 * LANES) {
    f32x16 even[ROWS], odd[ROWS];
    UNROLL for (int row = 0; row < rows; row++) {
      even[row] = LOAD(f32x16, x + (size_t)row * columns + column);
      odd[row] = LOAD(f32x16, x + (size_t)row * columns + column + LANES);
    }
    UNROLL for (int out = 0; out < outputs; out++) {
      const size_t at = (size_t)out * columns + column;
      f32x16 even_weight, odd_weight;
      if (is_wide) {
        even_weight = LOAD(f32x16, wide + at);
        odd_weight = LOAD(f32x16, wide + at + LANES);
      } else {
        const u32x16 pairs = LOAD(u32x16, weight + at);
        even_weight = even_of(pairs);
        odd_weight = odd_of(pairs);
        __builtin_prefetch(weight + at + (size_t)ahead * columns);
      }
      UNROLL for (int row = 0; row < rows; row++) {
        sums[row][out] = fma16(even_weight, even[row], sums[row][out]);
        sums[row][out] = fma16(odd_weight, odd[row], sums[row][out]);
      }
    }
  }
#if defined(__AVX512F__)
  if (outputs == 4 && rows == 4) {
    const f32x16 all = sums_of_rows(sums);
    const f32x4 addend = bias == NULL ? (f32x4)(0) : LOAD(f32x4, bias);
    UNROLL for (int row = 0; row < rows; row++) STORE(output + row * stride, QUARTER(all, row) + addend);
    return;
  }
#endif
  UNROLL for (int row = 0; row < rows; row++) {
    float *to = output + row * stride;
    if (outputs == 4) STORE(to, sums_of(sums[row]) + (bias == NULL ? (f32x4)(0) : LOAD(f32x4, bias)));
    else UNROLL for (int out = 0; out < outputs; out++) to[out] = sum_of(sums[row][out]) + (bias == NULL ? 0 : bias[out]);
  }
}

INLINE void fetch_some(Fetch *fetch) {
  for (int left = fetch->lines_at_once; left > 0 && fetch->piece < fetch->count;) {
    const char *from = (const char *)fetch->pieces[fetch->piece] + (size_t)fetch->line * FETCHED_LINE;
    const int some = at_most(left, fetch->piece_lines - fetch->line);
    /* Not into the first cache, which has no room for so much. */
    for (int i = 0; i < some; i++) __builtin_prefetch(from + (size_t)i * FETCHED_LINE, 0, 2);
    left -= some;
    fetch->line += some;
    if (fetch->line < fetch->piece_lines) continue;
    fetch->line = 0;
    fetch->piece++;
  }
}

int tiles_of(int outputs) { return outputs / SHARED_OUTPUTS; }

INLINE void multiply_outputs(const uint16_t *weight, const float *bias, const float *x, int columns, int first, int end,
                             float *output, size_t stride, const int rows, Fetch *fetch) {
  int out = first;
#define TILE(outputs)                                                                                             \
  multiply_tile(weight + (size_t)out * columns, NULL, bias == NULL ? NULL : bias + out, x, columns, output + out, stride, \
                outputs, rows, 0)
  if (rows > 1) {
    for (; out + SHARED_OUTPUTS <= end; out += SHARED_OUTPUTS) {
      if (fetch != NULL) fetch_some(fetch);
      TILE(SHARED_OUTPUTS);
    }
  } else if (columns < WIDE) {
    for (; out + OUTPUTS <= end; out += OUTPUTS) TILE(OUTPUTS);
  }
  for (; out < end; out++) TILE(1);
#undef TILE
}

size_t wide_floats(int columns) { return (size_t)SHARED_OUTPUTS * columns; }

/* `rows` is a multiple of ROWS. */
static void multiply_many(const uint16_t *weight, const float *bias, const float *x, int columns, int first, int end,
                          float *output, size_t stride, int rows, float *wide, Fetch *fetch) {
  int out = first;
  for (; out + SHARED_OUTPUTS <= end; out += SHARED_OUTPUTS) {
    if (fetch != NULL) fetch_some(fetch);
    const uint16_t *from = weight + (size_t)out * columns;
    for (int i = 0; i < SHARED_OUTPUTS * columns; i += 2 * LANES) {
      const u32x16 pairs = LOAD(u32x16, from + i);
      __builtin_prefetch(from + (size_t)SHARED_OUTPUTS * columns + i);
      STORE(wide + i, even_of(pairs));
      STORE(wide + i + LANES, odd_of(pairs));
    }
    for (int row = 0; row < rows; row += ROWS) {
      multiply_tile(NULL, wide, bias == NULL ? NULL : bias + out, x + (size_t)row * columns, columns,
                    output + row * stride + out, stride, SHARED_OUTPUTS, ROWS, 1);
    }
  }
  if (out == end) return;
  for (int row = 0; row < rows; row += ROWS) {
    multiply_outputs(weight, bias, x + (size_t)row * columns, columns, out, end, output + row * stride, stride, ROWS,
                     NULL);
  }
}

void multiply_rows(const uint16_t *weight, const float *bias, const float *x, int columns, int first, int end, float *output,
                   size_t stride, int rows, float *wide, Fetch *fetch) {
  const int many = wide == NULL || rows < MANY ? 0 : rows / ROWS * ROWS;
  if (many > 0) multiply_many(weight, bias, x, columns, first, end, output, stride, many, wide, fetch);
  for (int row = many; row < rows; row += ROWS) {
    const float *some = x + (size_t)row * columns;
    float *to = output + row * stride;
    switch (at_most(ROWS, rows - row)) {
      case 1: multiply_outputs(weight, bias, some, columns, first, end, to, stride, 1, fetch); break;
#if defined(__AVX512F__)
      case 2: multiply_outputs(weight, bias, some, columns, first, end, to, stride, 2, fetch); break;
      case 3: multiply_outputs(weight, bias, some, columns, first, end, to, stride, 3, fetch); break;
#endif
      default: multiply_outputs(weight, bias, some, columns, first, end, to, stride, ROWS, fetch); break;
    }
  }
}

void rotate_heads(float *heads, int count, int head_dim, const float *cosine, const float *sine) {
  const int pairs = head_dim / 2;
  for (int head = 0; head < count; head++, heads += head_dim) {
    for (int pair = 0; pair < pairs; pair++) {
      const float a = heads[pair];
      const float b = heads[pairs + pair];
      heads[pair] = a * cosine[pair] - b * sine[pair];
      heads[pairs + pair] = b * cosine[pair] + a * sine[pair];
    }
  }
}

void swiglu(const float *input, float *output, int width, float limit) {
  for (int i = 0; i < width; i += LANES) {
    const f32x16 a = LOAD(f32x16, input + 2 * i);
    const f32x16 b = LOAD(f32x16, input + 2 * i + LANES);
    f32x16 gate = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    f32x16 up = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    /* Written so that no number stays none. */
    gate = (splat(limit) < gate) ? splat(limit) : gate;
    up = (splat(limit) < up) ? splat(limit) : up;
    up = (splat(-limit) > up) ? splat(-limit) : up;
    /* Beyond 88 the sigmoid is below 1e-38 either way, and e^x would overflow. */
    const f32x16 power = exponential(__builtin_elementwise_min(gate * -1.702f, splat(88.0f)));
    STORE(output + i, gate / (power + 1.0f) * (up + 1.0f));
  }
}

void combine(const float *values, const int32_t *places, const float *weights, int terms, float *residual, int width) {
  for (int i = 0; i < width; i += LANES) {
    f32x16 total = splat(0);
    for (int k = 0; k < terms; k++) {
      total = fma16(LOAD(f32x16, values + (size_t)places[k] * width + i), splat(weights[k]), total);
    }
    STORE(residual + i, LOAD(f32x16, residual + i) + total);
  }
}

int largest_of(const float *values, int count) {
  f32x16 most = splat(-__builtin_inff());
  int i = 0;
  for (; i + LANES <= count; i += LANES) {
    const f32x16 v = LOAD(f32x16, values + i);
    most = (v > most) ? v : most;
  }
  float largest = most_of(most);
  for (; i < count; i++) largest = values[i] > largest ? values[i] : largest;
  i = 0;
  while (i + LANES <= count && __builtin_reduce_or(LOAD(f32x16, values + i) == splat(largest)) == 0) i += LANES;
  for (; i < count; i++) {
    if (values[i] == largest) return i;
  }
  return -1;
}
