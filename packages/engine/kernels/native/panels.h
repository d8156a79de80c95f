/*
 * Matrices times many rows: those of prefill, in f32. Rows are packed in tiles of TILE_ROWS, [column][row]; weights are
 * widened into panels of PANEL outputs, [column][output], just before they are used. A sum runs over columns one by one.
 */
#pragma once

#include "model.h"

/* Rows of a tile, and vectors of outputs of a panel: as many sums as there are registers for. */
#if defined(__AVX512F__)
enum { TILE_ROWS = 12 };
#else
enum { TILE_ROWS = 6 };
#endif
#if defined(__AVX512F__)
enum { PANEL_VECTORS = 2 };
#else
enum { PANEL_VECTORS = 1 };
#endif
enum { PANEL = PANEL_VECTORS * LANES };

/* Floats of a packed tile. */
INLINE size_t tile_floats(int columns) { return (size_t)columns * TILE_ROWS; }
INLINE size_t panel_floats(int columns) { return (size_t)columns * PANEL; }

/* Packs one tile of up to TILE_ROWS rows f32 [columns]; rows that are not there become zero. `columns` is a multiple of 16. */
void pack_tile(const float *const *rows, int count, int columns, float *tile);

/*
 * Widens outputs `out` to out + PANEL of a matrix bf16 [outputs][columns]; the last one stands in for those past it.
 * `columns` is a multiple of 32.
 */
void widen_bf16(const uint16_t *weight, int columns, int out, int outputs, float *panel);
/* The same of MXFP4: codes [outputs][columns / 32][16], scales [outputs][columns / 32]. */
void widen_mxfp4(const uint8_t *codes, const uint8_t *scales, int columns, int out, int outputs, float *panel);

/* sums[row][output] = the sum over columns of tile[column][row] * panel[column][output], rows PANEL apart. */
void multiply_panel(const float *tile, const float *panel, int columns, int rows, float *sums);
