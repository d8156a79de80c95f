// Matrix products by groups of four waves, as in matrix_groups.hip, but with the weights in registers: NVIDIA's wgmma of compute
// capability 9.0. A group multiplies 64 rows of weights with TOKENS tokens, 32, 64 or 128, and 16 k. A token's sums have the
// same bits whatever TOKENS is.
//
//   add_row_group_products<TOKENS>(sums, rows, tokens, step)  begins a product with k 16 * step .. 16 * step + 15 of tiles of
//                                                             tokens, one behind the other; matrix_groups.hip ends it
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

#if ROUTER_NVIDIA && defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ROW_SUMS(i) "+f"(sums[i][0]), "+f"(sums[i][1]), "+f"(sums[i][2]), "+f"(sums[i][3])
#define ROW_SUMS_4(i) ROW_SUMS(i), ROW_SUMS(i + 1), ROW_SUMS(i + 2), ROW_SUMS(i + 3)
#define ROW_OPERANDS "r"(rows[0]), "r"(rows[1]), "r"(rows[2]), "r"(rows[3]), "l"(place)
template <int TOKENS>
ROUTER_INLINE void add_row_group_products(float (*sums)[4], const u32 (&rows)[4], const Words4* tokens, int step) {
  static_assert(TOKENS == 32 || TOKENS == 64 || TOKENS == 128, "one of the products below");
  // Sixteen k are two granules further.
  const unsigned long long place = group_operand(tokens) + 2 * step;
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
#else
template <int TOKENS>
ROUTER_INLINE void add_row_group_products(float (*sums)[4], const u32 (&rows)[4], const Words4* tokens, int step) {
  const int column = lane_of_wave() / 4;
  const int pair = lane_of_wave() % 4;
#pragma unroll
  for (int i = 0; i < TOKENS / kSumTokens; i++) {
    const int token = i * kSumTokens + column;
    const Words4* tile = tokens + token / kTileSize * kTileGranules;
    u32 ofTokens[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const Words4* granule = tile + tile_granule(token % kTileSize, 2 * step + half);
      ofTokens[half] = reinterpret_cast<const u32*>(granule)[pair];
    }
    add_bf16_product(sums[i], rows, ofTokens);
  }
}
#endif

}  // namespace ROUTER_NAMESPACE
