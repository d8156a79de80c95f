// Matrix tiles by NVIDIA's mma.sync m16n8k16, from compute capability 8: tokens as its rows, weights as its columns,
// eight at a time. Both come from shared memory by ldmatrix, which leaves them in the registers that the product takes.

#if MATRIX_FORM == MATRIX_MMA_SYNC

namespace ROUTER_NAMESPACE {

// Of each step: the four registers of the first operand, or two for each half of the rows of weights.
struct TokenTile {
  u32 words[2][4];
};
using WeightTile = TokenTile;

#if ROUTER_NVIDIA
ROUTER_INLINE void mma_sync(float* sum, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
// Four blocks of 8 x 8 numbers; lane i gives the address of row i % 8 of block i / 8. Other lanes wrote them.
ROUTER_INLINE void load_matrices(u32* words, const Words4* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(static_cast<u32>(__cvta_generic_to_shared(row)))
               : "memory");
}
#else
// Only the emulation compiles this form for anything else.
ROUTER_INLINE void mma_sync(float* sum, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  __builtin_emulated_mma_sync(sum, a0, a1, a2, a3, b0, b1);
}
ROUTER_INLINE void load_matrices(u32* words, const Words4* row) { __builtin_emulated_ldmatrix(words, row); }
#endif

ROUTER_INLINE TokenTile load_tokens(const Words4* tile) {
  TokenTile operand;
#pragma unroll
  for (int step = 0; step < 2; step++) {
    load_matrices(operand.words[step], tile + tile_granule(lane_of_wave() % 16, 2 * step + lane_of_wave() / 16));
  }
  return operand;
}

ROUTER_INLINE WeightTile load_weights(const Words4* tile) {
  const int row = lane_of_wave() % 8 + lane_of_wave() / 16 * 8;
  WeightTile operand;
#pragma unroll
  for (int step = 0; step < 2; step++) {
    load_matrices(operand.words[step], tile + tile_granule(row, 2 * step + lane_of_wave() / 8 % 2));
  }
  return operand;
}

ROUTER_INLINE void multiply_step(TileSum& sum, const WeightTile& weights, const TokenTile& tokens, int step) {
  const u32* a = tokens.words[step];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const u32* b = weights.words[step] + 2 * half;
    mma_sync(sum.values + 4 * half, a[0], a[1], a[2], a[3], b[0], b[1]);
  }
}

// The sums lie as the next product wants its tokens: each in its own step, two words of both tokens.
ROUTER_INLINE TokenTile as_tokens(const TileSum& first, const TileSum& second) {
  TokenTile operand;
#pragma unroll
  for (int t = 0; t < kTokensPerLane; t++) {
    u32 words[kRowsPerPart];
    pack_sums(first, second, t, words);
#pragma unroll
    for (int i = 0; i < kRowsPerPart; i++) operand.words[i / 2][i % 2 * 2 + t] = words[i];
  }
  return operand;
}

}  // namespace ROUTER_NAMESPACE

#endif
