/* Attention with sinks, over keys and values in blocks of BLOCK_POSITIONS positions. */
#pragma once

#include "model.h"

/*
 * A layer's part of a block: keys f32 [kv_heads][head_dim][BLOCK_POSITIONS], so that 16 positions are a vector, then values
 * f32 [kv_heads][BLOCK_POSITIONS][head_dim].
 */

/* Keeps a row's key and value, f32 [kv_heads][head_dim] each, at a place of a block's part of this layer. */
void keep_key_value(const float *key, const float *value, const Sizes *sizes, float *layer_block, int place);

/*
 * What one row's heads of one key-value head see: for each, the values weighted by the softmax of (query * key) /
 * sqrt(head_dim) over the positions from `first` to `position`, to which the head's sink is a logit without a value
 * (openai/gpt-oss, torch/model.py, sdpa). In order of positions, whatever else is computed.
 *
 * query, output: f32 [heads / kv_heads][head_dim]; sinks f32 [heads / kv_heads].
 * table: blocks of the sequence; kv: this layer's part of block 0, blocks `block_floats` apart.
 * scores: room for f32 [heads / kv_heads][positions in whole blocks].
 */
void attend_head(const float *query, const float *sinks, const Sizes *sizes, int kv_head, const int32_t *table,
                 const float *kv, size_t block_floats, int first, int position, float *scores, float *output);
