// Matrix tiles by plain multiply-adds, for GPUs without matrix instructions: a lane has a token's whole row in its
// registers, and reads the rows of weights that it adds up, which its neighbours read with it.

#if MATRIX_FORM == MATRIX_LANES

namespace ROUTER_NAMESPACE {

struct TokenTile {
  u32 words[kTileColumns / 2];
};
struct WeightTile {
  const Words4* tile;
};

// Another lane's value.
#if ROUTER_NVIDIA
ROUTER_INLINE u32 word_of_lane(u32 word, int lane) { return __shfl_sync(0xffffffffu, word, lane); }
#else
ROUTER_INLINE u32 word_of_lane(u32 word, int lane) {
  return static_cast<u32>(__builtin_amdgcn_ds_bpermute(lane * 4, static_cast<i32>(word)));
}
#endif

ROUTER_INLINE void take_granule(Words4 granule, u32* words) {
  words[0] = granule.x;
  words[1] = granule.y;
  words[2] = granule.z;
  words[3] = granule.w;
}

ROUTER_INLINE TokenTile load_tokens(const Words4* tile) {
  TokenTile operand;
#pragma unroll
  for (int piece = 0; piece < kTilePieces; piece++) {
    take_granule(tile[tile_granule(lane_of_wave() % kTileSize, piece)], operand.words + 4 * piece);
  }
  return operand;
}

ROUTER_INLINE WeightTile load_weights(const Words4* tile) { return {tile}; }

ROUTER_INLINE void multiply_step(TileSum& sum, const WeightTile& weights, const TokenTile& tokens, int) {
#pragma unroll
  for (int piece = 0; piece < kTilePieces; piece++) {
#pragma unroll
    for (int i = 0; i < kRowsPerPart; i++) {
      u32 words[4];
      keep_loads_behind();
      take_granule(weights.tile[tile_granule(row_of_part(part_of_lane(), i), piece)], words);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const u32 pair = tokens.words[4 * piece + j];
        sum.values[i] = multiply_add(bits_to_float(words[j] << 16), bits_to_float(pair << 16), sum.values[i]);
        sum.values[i] =
            multiply_add(bits_to_float(words[j] & 0xffff0000u), bits_to_float(pair & 0xffff0000u), sum.values[i]);
      }
    }
  }
}

ROUTER_INLINE TokenTile as_tokens(const TileSum& first, const TileSum& second) {
  u32 own[kRowsPerPart];
  pack_sums(first, second, 0, own);
  TokenTile operand;
#pragma unroll
  for (int part = 0; part < kTileParts; part++) {
#pragma unroll
    for (int i = 0; i < kRowsPerPart; i++) {
      operand.words[part * kRowsPerPart + i] = word_of_lane(own[i], lane_of_wave() % kTileSize + part * kTileSize);
    }
  }
  return operand;
}

}  // namespace ROUTER_NAMESPACE

#endif
