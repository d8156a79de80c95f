/*
 * MXFP4 matrices times a few rows: the experts of decoding. Twice an MXFP4 value is a whole number, at most 12, times the
 * scale of its block of 32; a block of activations becomes whole numbers of 15 bits, as two terms of 8, times a step of its
 * own. The products within a block are then exact in integers, and only the sum over blocks is f32.
 */
#pragma once

#include "model.h"

/* Blocks of 32 columns that make a group: one vector of codes. */
enum { GROUP_BLOCKS = 4, GROUP_COLUMNS = GROUP_BLOCKS * MX_COLUMNS };
/* Bytes of a group's columns of even index, or of odd index: as codes have them in their lower and upper halves. */
enum { GROUP_BYTES = GROUP_COLUMNS / 2 };

/* A group of activations: x = step * (128 * high + low). */
typedef struct Group {
  int8_t high_even[GROUP_BYTES], high_odd[GROUP_BYTES], low_even[GROUP_BYTES], low_odd[GROUP_BYTES];
  /* Of each 32-bit lane: what products with weights that are 12 too large have too much, negated. */
  int32_t correction[LANES];
  /* Half the step of each lane's block: weights count in halves. */
  float half_step[LANES];
} Group;

INLINE int groups_of(int columns) { return parts_of(columns, GROUP_COLUMNS); }

/* Columns, and groups, that a row has room for. */
INLINE int widest_quants(const Sizes *sizes) { return at_least(sizes->hidden, sizes->intermediate); }
INLINE size_t quant_groups(const Sizes *sizes) { return (size_t)groups_of(widest_quants(sizes)); }

/*
 * Writes columns `first` to `end` of a row of `columns` as groups, all three multiples of 32; x: those columns, f32. What a
 * last group has too many is zero.
 */
void quantize_columns(const float *x, Group *output, int columns, int first, int end);

/*
 * output[row][out - first] = sum over columns of weight[out][column] * x[row][column] + bias[out], for out from `first` to
 * `end`. A row's sums run over columns in an order that does not depend on other rows.
 *
 * codes: [out][columns / 32][16], low nibble first; scales: E8M0 [out][columns / 32].
 * x: the groups of each row; output: where each row's sums go, that of `first` the first.
 */
void multiply_quants(const uint8_t *codes, const uint8_t *scales, const float *bias, const Group *const *x, int columns,
                     int first, int end, float *const *output, int rows);
