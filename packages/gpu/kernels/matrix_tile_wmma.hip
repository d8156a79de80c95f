// Matrix tiles by the WMMA instructions of RDNA, in waves of 32: weights as rows, tokens as columns.
//
//   gfx12   a half of the wave has 16 neighbouring k of a row, eight for each of two products
//   gfx11   both halves have all of a row, and of the sums one has the even and one the odd rows: row i of the
//           instruction is row i / 2 + 8 * (i % 2) of the tile, so that a lane has neighbouring rows here too

#if MATRIX_FORM == MATRIX_WMMA_GFX11 || MATRIX_FORM == MATRIX_WMMA_GFX12

namespace ROUTER_NAMESPACE {

using Floats8 = float __attribute__((ext_vector_type(8)));

#if MATRIX_FORM == MATRIX_WMMA_GFX12
constexpr int kOperandGranules = 2;
using OperandVector = short __attribute__((ext_vector_type(8)));
struct OperandWords {
  Words4 words;
};
#else
constexpr int kOperandGranules = 4;
using OperandVector = short __attribute__((ext_vector_type(16)));
struct OperandWords {
  Words4 words[2];
};
#endif

// A lane's bytes for both products.
struct TokenTile {
  Words4 granules[kOperandGranules];
};
using WeightTile = TokenTile;

ROUTER_INLINE TokenTile load_row(const Words4* tile, int row) {
  TokenTile operand;
#if MATRIX_FORM == MATRIX_WMMA_GFX12
  const int first = part_of_lane() * kOperandGranules;
#else
  const int first = 0;
#endif
#pragma unroll
  for (int i = 0; i < kOperandGranules; i++) operand.granules[i] = tile[tile_granule(row, first + i)];
  return operand;
}

ROUTER_INLINE TokenTile load_tokens(const Words4* tile) { return load_row(tile, lane_of_wave() % kTileSize); }

ROUTER_INLINE WeightTile load_weights(const Words4* tile) {
  const int row = lane_of_wave() % kTileSize;
#if MATRIX_FORM == MATRIX_WMMA_GFX12
  return load_row(tile, row);
#else
  return load_row(tile, row / 2 + 8 * (row % 2));
#endif
}

ROUTER_INLINE OperandVector operand_of(const TokenTile& tile, int step) {
#if MATRIX_FORM == MATRIX_WMMA_GFX12
  return __builtin_bit_cast(OperandVector, tile.granules[step]);
#else
  const OperandWords words = {{tile.granules[2 * step], tile.granules[2 * step + 1]}};
  return __builtin_bit_cast(OperandVector, words);
#endif
}

ROUTER_INLINE void multiply_step(TileSum& sum, const WeightTile& weights, const TokenTile& tokens, int step) {
  Floats8 values;
#pragma unroll
  for (int i = 0; i < kSumsPerLane; i++) values[i] = sum.values[i];
#if MATRIX_FORM == MATRIX_WMMA_GFX12
  values = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(operand_of(weights, step), operand_of(tokens, step),
                                                             values);
#else
  values = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(operand_of(weights, step), operand_of(tokens, step), values);
#endif
#pragma unroll
  for (int i = 0; i < kSumsPerLane; i++) sum.values[i] = values[i];
}

// On gfx12 the sums lie as the next product wants its tokens; on gfx11 each half takes the other's as well.
ROUTER_INLINE TokenTile as_tokens(const TileSum& first, const TileSum& second) {
  u32 own[8];
  pack_sums(first, second, 0, own);
  TokenTile operand;
#if MATRIX_FORM == MATRIX_WMMA_GFX12
  operand.granules[0] = {own[0], own[1], own[2], own[3]};
  operand.granules[1] = {own[4], own[5], own[6], own[7]};
#else
  u32 words[16];
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const u32 other = static_cast<u32>(from_other_half<16>(static_cast<i32>(own[i])));
    words[i] = part_of_lane() == 0 ? own[i] : other;
    words[8 + i] = part_of_lane() == 0 ? other : own[i];
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    operand.granules[i] = {words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]};
  }
#endif
  return operand;
}

}  // namespace ROUTER_NAMESPACE

#endif
