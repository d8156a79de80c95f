/* What is done to rows one by one, and bf16 matrices times a few rows: the matrices of decoding. */
#pragma once

#include "model.h"

/* output = x / sqrt(mean(x^2) + epsilon) * gain (Zhang and Sennrich 2019). `width` is a multiple of 16. */
void rms_norm(const float *x, const float *gain, float epsilon, float *output, int width);

/*
 * Writes a row as `multiply_rows` takes it: of each 32 columns those of even index, then the odd ones, as they come out of
 * pairs of bf16. `width` is a multiple of 32.
 */
void arrange_row(const float *x, float *output, int width);

/* Bytes that a processor's caches fetch at once. */
enum { FETCHED_LINE = 64 };

/*
 * What is read later, elsewhere, and fetched while a matrix is multiplied: pieces of memory one after the other, some lines
 * at each tile of outputs. Multiplying leaves memory idle, and what comes after it may do little but wait for it.
 */
typedef struct {
  const void *const *pieces;
  int count, piece_lines, lines_at_once;
  /* How far it is. */
  int piece, line;
} Fetch;

/*
 * output[row][out] = sum over columns of weight[out][column] * x[row][column] + bias[out], for out from `first` to `end`.
 * A row's sums run over columns in an order that does not depend on other rows.
 *
 * x: arranged rows, `columns` apart; bias NULL for none; output rows `stride` apart; wide: room for wide_floats(columns),
 * NULL where there are few rows; fetch: NULL for nothing.
 */
void multiply_rows(const uint16_t *weight, const float *bias, const float *x, int columns, int first, int end, float *output,
                   size_t stride, int rows, float *wide, Fetch *fetch);

/* Tiles that so many outputs are multiplied in, of several rows at once: how often something is fetched. */
int tiles_of(int outputs);

/* Floats of `wide`. */
size_t wide_floats(int columns);

/* Rotates heads in place: of each, the first half of the elements with the second (GPT-OSS's half-split RoPE). */
void rotate_heads(float *heads, int count, int head_dim, const float *cosine, const float *sine);

/*
 * GPT-OSS's clamped SwiGLU: output[i] = gate * sigmoid(1.702 * gate) * (up + 1), gate = min(input[2 i], limit), up =
 * input[2 i + 1] clamped to [-limit, limit]. `width` is a multiple of 16.
 */
void swiglu(const float *input, float *output, int width, float limit);

/* residual += the sum over k, in order, of weights[k] * values[places[k]], each f32 [width]. */
void combine(const float *values, const int32_t *places, const float *weights, int terms, float *residual, int width);

/* The lowest index of the largest of `count` values, of those that are numbers; -1 where none is. */
int largest_of(const float *values, int count);
