/* Attention with sinks, over keys and values in blocks of BLOCK_POSITIONS positions. */
#pragma once

#include "model.h"

/*
 * A layer's part of a block: keys f32 [kv_heads][head_dim][BLOCK_POSITIONS], so that 16 positions are a vector, then values
 * f32 [kv_heads][BLOCK_POSITIONS][head_dim].
 */

/* Keeps a row's key and value, f32 [kv_heads][head_dim] each, at a place of a block's part of this layer. */
void keep_key_value(const float *key, const float *value, const Sizes *sizes, float *layer_block, int place);

/* What a row sees of one key-value head: positions `first` to `position` of its sequence. */
typedef struct {
  /* Blocks of the sequence, and this layer's part of block 0, blocks `block_floats` apart. */
  const int32_t *table;
  const float *kv;
  size_t block_floats;
  int kv_head, first, position;
} Seen;

/*
 * What one row's heads of one key-value head see: for each, the values weighted by the softmax of (query * key) /
 * sqrt(head_dim) over the positions seen, to which the head's sink is a logit without a value (openai/gpt-oss,
 * torch/model.py, sdpa). In order of positions, whatever else is computed.
 *
 * query, output: f32 [heads / kv_heads][head_dim]; sinks f32 [heads / kv_heads].
 * next: what is read after this, and fetched meanwhile; NULL for nothing.
 * scores: room for f32 [heads / kv_heads][positions in whole blocks].
 */
void attend_head(const float *query, const float *sinks, const Sizes *sizes, const Seen *seen, const Seen *next,
                 float *scores, float *output);

/* Bytes of the keys, or values, of one key-value head in a block. */
INLINE size_t piece_bytes(const Sizes *sizes) { return sizeof(float) * BLOCK_POSITIONS * (size_t)sizes->head_dim; }
/* Where such lie that attend_head reads, in its order: the first ones, at most so many. Returns how many. */
int pieces_of(const Seen *seen, const Sizes *sizes, const void **pieces, int most);
