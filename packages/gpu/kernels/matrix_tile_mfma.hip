// Matrix tiles by the MFMA instructions of CDNA, in waves of 64: weights as rows, tokens as columns. gfx950 multiplies
// 32 k at once; gfx90a and gfx942 16, so that a lane's 16 bytes go into two products. gfx90a takes bf16 below 2^-126
// for 0.

#if MATRIX_FORM == MATRIX_MFMA_K16 || MATRIX_FORM == MATRIX_MFMA_K32

namespace ROUTER_NAMESPACE {

struct TokenTile {
  Words4 words;
};
using WeightTile = TokenTile;
using Floats4 = float __attribute__((ext_vector_type(4)));

ROUTER_INLINE TokenTile load_tokens(const Words4* tile) {
  return {tile[tile_granule(lane_of_wave() % kTileSize, lane_of_wave() / kTileSize)]};
}

ROUTER_INLINE Words2 half_of(Words4 words, int half) {
  return half == 0 ? Words2{words.x, words.y} : Words2{words.z, words.w};
}

ROUTER_INLINE WeightTile load_weights(const Words4* tile) { return load_tokens(tile); }

ROUTER_INLINE void multiply_step(TileSum& sum, const WeightTile& weights, const TokenTile& tokens, int step) {
  Floats4 values = {sum.values[0], sum.values[1], sum.values[2], sum.values[3]};
#if MATRIX_FORM == MATRIX_MFMA_K32
  using Bf16x8 = __bf16 __attribute__((ext_vector_type(8)));
  values = __builtin_amdgcn_mfma_f32_16x16x32_bf16(__builtin_bit_cast(Bf16x8, weights.words),
                                                   __builtin_bit_cast(Bf16x8, tokens.words), values, 0, 0, 0);
#else
  using Shorts4 = short __attribute__((ext_vector_type(4)));
  values = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(__builtin_bit_cast(Shorts4, half_of(weights.words, step)),
                                                     __builtin_bit_cast(Shorts4, half_of(tokens.words, step)), values,
                                                     0, 0, 0);
#endif
  sum.values[0] = values.x;
  sum.values[1] = values.y;
  sum.values[2] = values.z;
  sum.values[3] = values.w;
}

// The sums lie as the next product wants its tokens.
ROUTER_INLINE TokenTile as_tokens(const TileSum& first, const TileSum& second) {
  u32 words[4];
  pack_sums(first, second, 0, words);
  return {{words[0], words[1], words[2], words[3]}};
}

}  // namespace ROUTER_NAMESPACE

#endif
