// Matrix products by groups of four waves, as in matrix_groups.hip, but with the weights in registers: NVIDIA's wgmma of compute
// capability 9.0. A group multiplies 64 rows of weights with TOKENS tokens, 32, 64 or 128, and 16 k. A token's sums have the
// same bits whatever TOKENS is, and as products of one wave have (bf16_products.hip): no maker promises that, but all of
// 102,400 sums were so on an H200, and `verify` compares rows of decoding that are formed either way.
//
//   add_row_group_products<TOKENS>(sums, rows, tokens, step)  begins a product with k 16 * step .. 16 * step + 15 of tiles of
//                                                             tokens, one behind the other; matrix_groups.hip ends it
//   add_eights_products<TOKENS, APART>(sums, rows, eights, step)  the same, of eights of tokens that are APART granules from
//                                                             each other, their granules as eight_granule() puts them
//
// Of lane 4 * g + c of the group's wave w
//
//   rows   rows 16 * w + g and + 8, k 2c, 2c + 1 in words 0 and 1, k 2c + 8, 2c + 9 in words 2 and 3; not to be written to
//          before the product has ended
//   sums   of tokens 8 * i + 2c and + 1: row 16 * w + g in sums[i][0] and [1], the row 8 further on in [2] and [3]
//
// Elsewhere, where kernels of this form are emulated, a wave multiplies its own rows by itself.

namespace ROUTER_NAMESPACE {

constexpr int kRowGroupRows = 64;
// Tokens that neighbouring sums are of.
constexpr int kSumTokens = 8;
// Where eight numbers of a token of an eight lie: as tile_granule() has them where this form is at home.
ROUTER_INLINE int eight_granule(int token, int piece) { return token * kTilePieces + (piece ^ ((token >> 1) & 3)); }

#if ROUTER_NVIDIA && defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ROW_SUMS(i) "+f"(sums[i][0]), "+f"(sums[i][1]), "+f"(sums[i][2]), "+f"(sums[i][3])
#define ROW_SUMS_4(i) ROW_SUMS(i), ROW_SUMS(i + 1), ROW_SUMS(i + 2), ROW_SUMS(i + 3)
#define ROW_OPERANDS "r"(rows[0]), "r"(rows[1]), "r"(rows[2]), "r"(rows[3]), "l"(place)
template <int TOKENS>
ROUTER_INLINE void add_row_group_step(float (*sums)[4], const u32 (&rows)[4], unsigned long long place) {
  static_assert(TOKENS == 32 || TOKENS == 64 || TOKENS == 128, "one of the products below");
  if constexpr (TOKENS == 32) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "
        "{%16, %17, %18, %19}, %20, 1, 1, 1, 0;"
        : ROW_SUMS_4(0)
        : ROW_OPERANDS);
  } else if constexpr (TOKENS == 64) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "{%32, %33, %34, %35}, %36, 1, 1, 1, 0;"
        : ROW_SUMS_4(0), ROW_SUMS_4(4)
        : ROW_OPERANDS);
  } else {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "{%64, %65, %66, %67}, %68, 1, 1, 1, 0;"
        : ROW_SUMS_4(0), ROW_SUMS_4(4), ROW_SUMS_4(8), ROW_SUMS_4(12)
        : ROW_OPERANDS);
  }
}
#undef ROW_SUMS
#undef ROW_SUMS_4
#undef ROW_OPERANDS

// Sixteen k are two granules further.
template <int TOKENS>
ROUTER_INLINE void add_row_group_products(float (*sums)[4], const u32 (&rows)[4], const Words4* tokens, int step) {
  add_row_group_step<TOKENS>(sums, rows, group_operand(tokens) + 2 * step);
}
template <int TOKENS, int APART>
ROUTER_INLINE void add_eights_products(float (*sums)[4], const u32 (&rows)[4], const Words4* eights, int step) {
  // Eights of tiles are half of a tile apart.
  constexpr unsigned long long kFurther = static_cast<unsigned long long>(APART - kTileGranules / 2) << 32;
  add_row_group_step<TOKENS>(sums, rows, group_operand(eights) + kFurther + 2 * step);
}
#else
// `granule_of(token, piece)` finds eight numbers of a token.
template <int TOKENS, class GranuleOf>
ROUTER_INLINE void add_products_of_granules(float (*sums)[4], const u32 (&rows)[4], int step, GranuleOf granule_of) {
  const int column = lane_of_wave() / 4;
  const int pair = lane_of_wave() % 4;
#pragma unroll
  for (int i = 0; i < TOKENS / kSumTokens; i++) {
    u32 ofTokens[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const Words4* granule = granule_of(i * kSumTokens + column, 2 * step + half);
      ofTokens[half] = reinterpret_cast<const u32*>(granule)[pair];
    }
    add_bf16_product(sums[i], rows, ofTokens);
  }
}
template <int TOKENS>
ROUTER_INLINE void add_row_group_products(float (*sums)[4], const u32 (&rows)[4], const Words4* tokens, int step) {
  add_products_of_granules<TOKENS>(sums, rows, step, [&](int token, int piece) {
    return tokens + token / kTileSize * kTileGranules + tile_granule(token % kTileSize, piece);
  });
}
template <int TOKENS, int APART>
ROUTER_INLINE void add_eights_products(float (*sums)[4], const u32 (&rows)[4], const Words4* eights, int step) {
  add_products_of_granules<TOKENS>(sums, rows, step, [&](int token, int piece) {
    return eights + token / kSumTokens * APART + eight_granule(token % kSumTokens, piece);
  });
}
#endif

}  // namespace ROUTER_NAMESPACE
