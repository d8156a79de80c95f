#include "attention.h"

void keep_key_value(const float *key, const float *value, const Sizes *sizes, float *layer_block, int place) {
  const int dim = sizes->head_dim;
  float *values = layer_block + (size_t)sizes->kv_heads * BLOCK_POSITIONS * dim;
  for (int head = 0; head < sizes->kv_heads; head++) {
    float *keys = layer_block + (size_t)head * BLOCK_POSITIONS * dim + place;
    for (int i = 0; i < dim; i++) keys[i * BLOCK_POSITIONS] = key[head * dim + i];
    __builtin_memcpy(values + ((size_t)head * BLOCK_POSITIONS + place) * dim, value + head * dim, 4 * (size_t)dim);
  }
}

/*
 * Heads and blocks whose scores are computed side by side: as many as there are registers for. Few heads alone leave the
 * multipliers waiting for their own sums.
 */
#if defined(__AVX512F__)
enum { SCORE_HEADS = 8, SCORE_BLOCKS = 2 };
#else
enum { SCORE_HEADS = 8, SCORE_BLOCKS = 1 };
#endif

/*
 * Keys or values of a block that are fetched ahead of those that are read, so that memory has the time to bring them: those of
 * another block lie where no processor would look for them.
 */
enum { PIECES_AHEAD = 2 };

INLINE int first_block_of(const Seen *seen) { return seen->first / BLOCK_POSITIONS; }
INLINE int blocks_of(const Seen *seen) { return seen->position / BLOCK_POSITIONS - first_block_of(seen) + 1; }

/* Of what is read one after the other: the keys of each block, then the values of each. */
INLINE const float *piece_of(const Seen *seen, const Sizes *sizes, int piece) {
  const int blocks = blocks_of(seen);
  const int is_value = piece >= blocks;
  const size_t head = (size_t)(is_value ? sizes->kv_heads + seen->kv_head : seen->kv_head);
  const int32_t block = seen->table[first_block_of(seen) + piece - is_value * blocks];
  return seen->kv + (size_t)block * seen->block_floats + head * BLOCK_POSITIONS * (size_t)sizes->head_dim;
}

/* What is to be fetched while `piece` is read. */
INLINE const float *ahead_of(const Seen *seen, const Seen *next, const Sizes *sizes, int piece) {
  const int own = 2 * blocks_of(seen), ahead = piece + PIECES_AHEAD;
  if (ahead < own) return piece_of(seen, sizes, ahead);
  if (next != NULL && ahead - own < 2 * blocks_of(next)) return piece_of(next, sizes, ahead - own);
  return piece_of(seen, sizes, piece);
}

int pieces_of(const Seen *seen, const Sizes *sizes, const void **pieces, int most) {
  const int count = at_most(most, 2 * blocks_of(seen));
  for (int piece = 0; piece < count; piece++) pieces[piece] = piece_of(seen, sizes, piece);
  return count;
}

/*
 * Scores of some blocks of positions: (query * key) * scale. Blocks lie apart: the keys of the next ones are fetched
 * meanwhile.
 */
INLINE void score_blocks(const float *query, const float *const *keys, const float *const *ahead, int dim, float scale,
                         float *scores, size_t stride, const int heads, const int blocks) {
  f32x16 sums[SCORE_BLOCKS][SCORE_HEADS];
  UNROLL for (int block = 0; block < blocks; block++) {
    UNROLL for (int head = 0; head < heads; head++) sums[block][head] = splat(0);
  }
  for (int i = 0; i < dim; i++) {
    f32x16 key[SCORE_BLOCKS];
    UNROLL for (int block = 0; block < blocks; block++) {
      key[block] = LOAD(f32x16, keys[block] + i * BLOCK_POSITIONS);
      __builtin_prefetch(ahead[block] + i * BLOCK_POSITIONS);
    }
    UNROLL for (int head = 0; head < heads; head++) {
      const f32x16 q = splat(query[head * dim + i]);
      UNROLL for (int block = 0; block < blocks; block++) sums[block][head] = fma16(q, key[block], sums[block][head]);
    }
  }
  UNROLL for (int head = 0; head < heads; head++) {
    UNROLL for (int block = 0; block < blocks; block++) {
      STORE(scores + head * stride + block * BLOCK_POSITIONS, sums[block][head] * scale);
    }
  }
}

/* Weights of a row's positions from its scores, in place; those outside of first to position become 0. Returns their sum. */
static float weigh(float *scores, int blocks, int first, int position, float sink) {
  const i32x16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const f32x16 nothing = splat(-__builtin_inff());
  f32x16 most = splat(sink);
  for (int block = 0; block < blocks; block++) {
    f32x16 v = LOAD(f32x16, scores + block * BLOCK_POSITIONS);
    if (block == 0 || block == blocks - 1) {
      const i32x16 at = lane + block * BLOCK_POSITIONS;
      v = ((at >= first) & (at <= position)) ? v : nothing;
      STORE(scores + block * BLOCK_POSITIONS, v);
    }
    most = __builtin_elementwise_max(most, v);
  }
  const f32x16 largest = splat(most_of(most));
  f32x16 total = splat(0);
  for (int block = 0; block < blocks; block++) {
    const f32x16 v = LOAD(f32x16, scores + block * BLOCK_POSITIONS);
    f32x16 weight = exponential(v - largest);
    if (block == 0 || block == blocks - 1) weight = (v == nothing) ? splat(0) : weight;
    STORE(scores + block * BLOCK_POSITIONS, weight);
    total += weight;
  }
  return sum_of(total) + exponential(splat(sink) - largest).x;
}

/* Heads whose values are added side by side, as many as there are registers for, and vectors of a head. */
#if defined(__AVX512F__)
enum { VALUE_HEADS = 4 };
#else
enum { VALUE_HEADS = 2 };
#endif
enum { VALUE_VECTORS = 4 };

/* Adds the values of positions from..to of a block, up to 64 elements of each head. */
INLINE void add_values(const float *weights, size_t stride, const float *values, int dim, int from, int to,
                       const float *ahead, f32x16 sums[VALUE_HEADS][VALUE_VECTORS], const int heads, const int vectors) {
  for (int place = from; place <= to; place++) {
    UNROLL for (int v = 0; v < vectors; v++) __builtin_prefetch(ahead + (size_t)place * dim + v * LANES);
    f32x16 value[VALUE_VECTORS];
    UNROLL for (int v = 0; v < vectors; v++) value[v] = LOAD(f32x16, values + (size_t)place * dim + v * LANES);
    UNROLL for (int head = 0; head < heads; head++) {
      const f32x16 weight = splat(weights[head * stride + place]);
      UNROLL for (int v = 0; v < vectors; v++) sums[head][v] = fma16(weight, value[v], sums[head][v]);
    }
  }
}

/* Up to 64 elements of each head, from `part` on. */
INLINE void sum_values(const Seen *seen, const Seen *next, const Sizes *sizes, int part, const float *weights, size_t stride,
                       const float *totals, float *output, const int heads, const int vectors) {
  const int dim = sizes->head_dim, blocks = blocks_of(seen);
  f32x16 sums[VALUE_HEADS][VALUE_VECTORS];
  UNROLL for (int head = 0; head < heads; head++) {
    UNROLL for (int v = 0; v < vectors; v++) sums[head][v] = splat(0);
  }
  for (int block = 0; block < blocks; block++) {
    const float *values = piece_of(seen, sizes, blocks + block) + part;
    const float *ahead = ahead_of(seen, next, sizes, blocks + block) + part;
    const int start = (first_block_of(seen) + block) * BLOCK_POSITIONS;
    const int from = at_least(0, seen->first - start);
    const int to = at_most(BLOCK_POSITIONS - 1, seen->position - start);
    add_values(weights + block * BLOCK_POSITIONS, stride, values, dim, from, to, ahead, sums, heads, vectors);
  }
  UNROLL for (int head = 0; head < heads; head++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      STORE(output + (size_t)head * dim + v * LANES, sums[head][v] / splat(totals[head]));
    }
  }
}

void attend_head(const float *query, const float *sinks, const Sizes *sizes, const Seen *seen, const Seen *next,
                 float *scores, float *output) {
  const int dim = sizes->head_dim;
  const int heads = sizes->heads / sizes->kv_heads;
  const int blocks = blocks_of(seen);
  const size_t stride = (size_t)blocks * BLOCK_POSITIONS;
  const float scale = 1.0f / __builtin_sqrtf((float)dim);
  for (int block = 0; block < blocks;) {
    const int some = at_most(SCORE_BLOCKS, blocks - block);
    const float *keys[SCORE_BLOCKS], *ahead[SCORE_BLOCKS];
    for (int i = 0; i < some; i++) {
      keys[i] = piece_of(seen, sizes, block + i);
      ahead[i] = ahead_of(seen, next, sizes, block + i);
    }
    for (int head = 0; head < heads;) {
      float *to = scores + head * stride + block * BLOCK_POSITIONS;
#define SCORES(heads, blocks) score_blocks(query + head * dim, keys, ahead, dim, scale, to, stride, heads, blocks)
      if (heads - head >= SCORE_HEADS) {
        if (some == 1) SCORES(SCORE_HEADS, 1);
        else SCORES(SCORE_HEADS, SCORE_BLOCKS);
        head += SCORE_HEADS;
      } else if (heads - head >= SCORE_HEADS / 2) {
        if (some == 1) SCORES(SCORE_HEADS / 2, 1);
        else SCORES(SCORE_HEADS / 2, SCORE_BLOCKS);
        head += SCORE_HEADS / 2;
      } else {
        if (some == 1) SCORES(1, 1);
        else SCORES(1, SCORE_BLOCKS);
        head++;
      }
#undef SCORES
    }
    block += some;
  }
  const int start = first_block_of(seen) * BLOCK_POSITIONS;
  float totals[VALUE_HEADS];
  for (int head = 0; head < heads;) {
    const int some = heads - head >= VALUE_HEADS ? VALUE_HEADS : 1;
    float *weights = scores + head * stride;
    for (int i = 0; i < some; i++) {
      totals[i] = weigh(weights + i * stride, blocks, seen->first - start, seen->position - start, sinks[head + i]);
    }
    for (int part = 0; part < dim;) {
      float *to = output + (size_t)head * dim + part;
#define VALUES(count, vectors) sum_values(seen, next, sizes, part, weights, stride, totals, to, count, vectors)
      if (dim - part >= VALUE_VECTORS * LANES) {
        if (some == 1) VALUES(1, VALUE_VECTORS);
        else VALUES(VALUE_HEADS, VALUE_VECTORS);
        part += VALUE_VECTORS * LANES;
      } else {
        if (some == 1) VALUES(1, 1);
        else VALUES(VALUE_HEADS, 1);
        part += LANES;
      }
#undef VALUES
    }
    head += some;
  }
}
