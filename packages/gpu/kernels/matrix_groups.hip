// Matrix tiles by groups of four waves: NVIDIA's wgmma of compute capability 9.0, which reads both operands from shared
// memory and goes on while its waves do something else. A group multiplies 64 tokens with 128 rows of weights and 32 k;
// each of its waves has a tile of tokens, and eight tiles of rows, whose sums lie as matrix_tile_mma_sync.hip has them.
//
//   begin_group_products()                    before sums are added to, once they were written
//   add_group_products(sums, tokens, weights) begins a product: of the group's four tiles of tokens, one behind the other,
//                                             and of eight of weights
//   end_group_products<PENDING>()             waits until all but the last PENDING that were closed are done
//   close_group_products()                    closes what was begun since the last time
//   show_to_groups()                          what this thread has written to shared memory is there for products, once
//                                             there was a barrier
//
// Elsewhere, where kernels of this form are emulated, a wave multiplies its own tiles by itself.

namespace ROUTER_NAMESPACE {

constexpr int kGroupWaves = 4;
constexpr int kGroupTokens = kGroupWaves * kTileSize;
constexpr int kGroupRowTiles = 8;

#if ROUTER_NVIDIA && defined(__CUDA_ARCH_FEAT_SM90_ALL)
// Where eight rows of 64 bytes begin, their granules as tile_granule() puts them, which wgmma calls a swizzle of 64 bytes.
ROUTER_INLINE unsigned long long group_operand(const Words4* shared) {
  const u32 place = static_cast<u32>(__cvta_generic_to_shared(shared));
  return static_cast<unsigned long long>((place & 0x3ffffu) >> 4) | 1ull << 16 | 32ull << 32 | 2ull << 62;
}

ROUTER_INLINE void begin_group_products() { asm volatile("wgmma.fence.sync.aligned;" : : : "memory"); }
ROUTER_INLINE void close_group_products() { asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory"); }
template <int PENDING>
ROUTER_INLINE void end_group_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(PENDING) : "memory");
}
ROUTER_INLINE void show_to_groups() { asm volatile("fence.proxy.async.shared::cta;" : : : "memory"); }

#define MATRIX_SUMS(tile) \
  "+f"(sums[tile].values[0]), "+f"(sums[tile].values[1]), "+f"(sums[tile].values[2]), "+f"(sums[tile].values[3]), \
  "+f"(sums[tile].values[4]), "+f"(sums[tile].values[5]), "+f"(sums[tile].values[6]), "+f"(sums[tile].values[7])
// Sixteen k of a product.
ROUTER_INLINE void add_group_step(TileSum* sums, unsigned long long tokens, unsigned long long weights) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, 1, 1, 1, 0, 0;"
      : MATRIX_SUMS(0), MATRIX_SUMS(1), MATRIX_SUMS(2), MATRIX_SUMS(3), MATRIX_SUMS(4), MATRIX_SUMS(5), MATRIX_SUMS(6),
        MATRIX_SUMS(7)
      : "l"(tokens), "l"(weights));
}
#undef MATRIX_SUMS

ROUTER_INLINE void add_group_products(TileSum* sums, const Words4* tokens, const Words4* weights) {
  const unsigned long long ofTokens = group_operand(tokens);
  const unsigned long long ofWeights = group_operand(weights);
  // Sixteen k are two granules further.
  add_group_step(sums, ofTokens, ofWeights);
  add_group_step(sums, ofTokens + 2, ofWeights + 2);
}
#else
ROUTER_INLINE void begin_group_products() {}
ROUTER_INLINE void close_group_products() {}
template <int PENDING>
ROUTER_INLINE void end_group_products() {}
ROUTER_INLINE void show_to_groups() {}

ROUTER_INLINE void add_group_products(TileSum* sums, const Words4* tokens, const Words4* weights) {
  const int own = static_cast<int>(thread_index() / kWaveSize) % kGroupWaves;
  const TokenTile tile = load_tokens(tokens + own * kTileGranules);
#pragma unroll
  for (int row = 0; row < kGroupRowTiles; row++) {
    const WeightTile rows = load_weights(weights + row * kTileGranules);
    multiply_tiles(sums[row], rows, tile);
  }
}
#endif

}  // namespace ROUTER_NAMESPACE
