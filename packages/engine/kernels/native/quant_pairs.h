/*
 * MXFP4 matrices times pairs of rows, for processors that multiply two rows of eight bytes by two others in one instruction
 * (arm64's i8mm). The products, and the order of their sums, are those of quants.h: the same bits.
 */
#pragma once

#include "quants.h"

#if defined(__ARM_FEATURE_MATMUL_INT8)
#define HAS_QUANT_PAIRS 1
#else
#define HAS_QUANT_PAIRS 0
#endif

/* Pairs of rows that are computed with the weights of two outputs, once these are unpacked. */
enum { PAIRS_AT_ONCE = 4 };

/* Two rows' activations, or two outputs' weights, of a group: of each 32-bit lane of quants.h the four bytes of even columns
 * and the four of odd ones, of the first, then of the second. */
typedef struct {
  int8_t bytes[LANES][16];
} PairedLanes;

typedef struct {
  PairedLanes high, low;
  float half_step[GROUP_BLOCKS][2];
} RowPair;

typedef struct {
  PairedLanes units;
  float scale[GROUP_BLOCKS][2];
} OutputPair;

/* Bytes of the memory that multiply_pairs works in. */
INLINE size_t pair_bytes(int columns) {
  return HAS_QUANT_PAIRS * (PAIRS_AT_ONCE * sizeof(RowPair) + sizeof(OutputPair)) * (size_t)groups_of(columns);
}

/* As multiply_quants, for an even number of rows and of outputs; `memory`: pair_bytes(columns), for this call alone. */
void multiply_pairs(const uint8_t *codes, const uint8_t *scales, const float *bias, const Group *const *x, int columns,
                    int first, int end, float *const *output, int rows, void *memory);
