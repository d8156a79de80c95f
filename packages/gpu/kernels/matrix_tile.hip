// Matrix tiles: the one product that everything with many tokens is made of, on whatever a GPU has for it.
//
//   sum[token][row] += sum over k of tokens[token][k] * weights[row][k]
//
// of 16 tokens, 16 rows and 32 k; bf16 in, f32 sums. A tile of tokens or weights lies in shared memory as kTileGranules
// granules of eight bf16: columns 8 * piece .. 8 * piece + 7 of row i (a token, or a row of weights) at
// tile_granule(i, piece), a place that both the writing and the reading lanes reach without bank conflicts.
//
//   TokenTile load_tokens(tile)               a lane's part of a tile of tokens
//   WeightTile load_weights(tile)             and of weights
//   multiply_step(sum, weights, tokens, step) one of the kTileSteps parts of a product, in their order; every lane of the
//                                             wave takes part
//   multiply_tiles(sum, weights, tokens)      all of them
//   multiply_tiles<COUNT>(sums, weights, tokens)  the products of COUNT tiles of weights, none of whose instructions
//                                             waits for the one before it
//
// Of a sum, a lane has kTokensPerLane tokens and kRowsPerPart rows of each, where lanes of one part have the same rows:
//
//   sum.values[sum_index(t, i)]               of token token_of_lane(t) and row row_of_part(part_of_lane(), i)
//
//   largest_of_parts(x), sum_of_parts(x)      over the lanes that have the same tokens
//
// In an operand the order of k is free as long as both have the same. Two sums (rows 0 .. 15 and 16 .. 31) become the
// tokens of another product by as_tokens(first, second); the weights of that product must have what belongs to row r
// in column column_of_summed_row(r).
//
// There is a form for each kind of matrix instruction, and one of plain multiply-adds for GPUs without. A sum's bits
// depend on its own token and row alone.

#define MATRIX_MMA_SYNC 1
#define MATRIX_MFMA_K16 2
#define MATRIX_MFMA_K32 3
#define MATRIX_WMMA_GFX11 4
#define MATRIX_WMMA_GFX12 5
#define MATRIX_LANES 6

#ifndef MATRIX_FORM
#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 800
#define MATRIX_FORM MATRIX_MMA_SYNC
#elif defined(__gfx950__)
#define MATRIX_FORM MATRIX_MFMA_K32
#elif defined(__gfx90a__) || defined(__gfx942__)
#define MATRIX_FORM MATRIX_MFMA_K16
#elif defined(__GFX11__)
#define MATRIX_FORM MATRIX_WMMA_GFX11
#elif defined(__GFX12__)
#define MATRIX_FORM MATRIX_WMMA_GFX12
#else
#define MATRIX_FORM MATRIX_LANES
#endif
#endif

namespace ROUTER_NAMESPACE {

constexpr int kTileSize = 16;
constexpr int kTileColumns = 32;
constexpr int kTilePieces = 4;
constexpr int kTileGranules = kTileSize * kTilePieces;

ROUTER_INLINE int lane_of_wave() { return static_cast<int>(thread_index() % kWaveSize); }

#if MATRIX_FORM == MATRIX_MMA_SYNC
constexpr int kTileParts = 4;
constexpr int kTokensPerLane = 2;
ROUTER_INLINE int part_of_lane() { return lane_of_wave() % 4; }
ROUTER_INLINE int token_of_lane(int t) { return lane_of_wave() / 4 + 8 * t; }
#else
constexpr int kTileParts = kWaveSize / kTileSize;
constexpr int kTokensPerLane = 1;
ROUTER_INLINE int part_of_lane() { return lane_of_wave() / kTileSize; }
ROUTER_INLINE int token_of_lane(int) { return lane_of_wave() % kTileSize; }
#endif

constexpr int kRowsPerPart = kTileSize / kTileParts;
constexpr int kSumsPerLane = kTokensPerLane * kRowsPerPart;

struct TileSum {
  float values[kSumsPerLane];
};

ROUTER_INLINE TileSum zero_sum() {
  TileSum sum;
#pragma unroll
  for (int i = 0; i < kSumsPerLane; i++) sum.values[i] = 0.0f;
  return sum;
}

#if MATRIX_FORM == MATRIX_MMA_SYNC
// Eight lanes that load or store together take a piece of eight rows, or two rows.
ROUTER_INLINE int tile_granule(int row, int piece) { return row * kTilePieces + (piece ^ ((row >> 1) & 3)); }
ROUTER_INLINE int sum_index(int t, int i) { return i / 2 * 4 + t * 2 + i % 2; }
ROUTER_INLINE int row_of_part(int part, int i) { return i / 2 * 8 + part * 2 + i % 2; }
ROUTER_INLINE int part_of_row(int row) { return row % 8 / 2; }
ROUTER_INLINE int index_in_part(int row) { return row / 8 * 2 + row % 2; }
#else
// Lanes that load or store together take a piece of all rows.
ROUTER_INLINE int tile_granule(int row, int piece) { return piece * kTileSize + row; }
ROUTER_INLINE int sum_index(int, int i) { return i; }
ROUTER_INLINE int row_of_part(int part, int i) { return part * kRowsPerPart + i; }
ROUTER_INLINE int part_of_row(int row) { return row / kRowsPerPart; }
ROUTER_INLINE int index_in_part(int row) { return row % kRowsPerPart; }
#endif

#if MATRIX_FORM == MATRIX_MMA_SYNC
ROUTER_INLINE int column_of_summed_row(int row) { return row; }
#else
ROUTER_INLINE int column_of_summed_row(int row) {
  const int inTile = row % kTileSize;
  return part_of_row(inTile) * 2 * kRowsPerPart + row / kTileSize * kRowsPerPart + index_in_part(inTile);
}
#endif

#if MATRIX_FORM == MATRIX_MMA_SYNC
ROUTER_INLINE float largest_of_parts(float value) { return token_max<4>(value); }
ROUTER_INLINE float sum_of_parts(float value) { return token_sum<4>(value); }
#else
// Lanes of a token are 16 apart; from_other_half stops at 32.
ROUTER_INLINE float from_far_half(float value) {
#if ROUTER_NVIDIA
  return value;
#else
  const i32 address = (lane_of_wave() ^ 32) * 4;
  return bits_to_float(static_cast<u32>(
      __builtin_amdgcn_ds_bpermute(address, static_cast<i32>(float_to_bits(value)))));
#endif
}
ROUTER_INLINE float largest_of_parts(float value) {
  const float most = larger(value, from_other_half<16>(value));
  if constexpr (kTileParts == 2) return most;
  return larger(most, from_far_half(most));
}
ROUTER_INLINE float sum_of_parts(float value) {
  const float sum = value + from_other_half<16>(value);
  if constexpr (kTileParts == 2) return sum;
  return sum + from_far_half(sum);
}
#endif

#if MATRIX_FORM == MATRIX_MFMA_K32 || MATRIX_FORM == MATRIX_LANES
constexpr int kTileSteps = 1;
#else
constexpr int kTileSteps = 2;
#endif

// Two numbers rounded to the nearest bf16, to the even one of two; the first in the low half. NaN stays NaN.
#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 800
ROUTER_INLINE u32 bf16_pair(float low, float high) {
  u32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
#else
ROUTER_INLINE u32 bf16_bits(float value) {
  const u32 bits = float_to_bits(value);
  const u32 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return value == value ? rounded : (bits >> 16) | 0x40u;
}
ROUTER_INLINE u32 bf16_pair(float low, float high) { return bf16_bits(low) | bf16_bits(high) << 16; }
#endif

// A lane's own numbers of two sums as bf16, those of token t: the first tile's rows, then the second's.
ROUTER_INLINE void pack_sums(const TileSum& first, const TileSum& second, int t, u32* words) {
#pragma unroll
  for (int i = 0; i < kRowsPerPart / 2; i++) {
    words[i] = bf16_pair(first.values[sum_index(t, 2 * i)], first.values[sum_index(t, 2 * i + 1)]);
    words[kRowsPerPart / 2 + i] = bf16_pair(second.values[sum_index(t, 2 * i)], second.values[sum_index(t, 2 * i + 1)]);
  }
}

}  // namespace ROUTER_NAMESPACE
