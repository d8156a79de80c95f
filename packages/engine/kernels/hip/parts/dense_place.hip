// Where a block of a kernel that multiplies groups of rows of a bf16 matrix works: KERNEL_GROUPS groups, and a tile of
// KERNEL_VECTORS vectors.

namespace ROUTER_NAMESPACE {

constexpr int kDenseGroupRows = 16;
constexpr int kBlockRows = KERNEL_GROUPS * kDenseGroupRows;
// Vectors that are columns of one product, and products beside each other.
constexpr int kProductVectors = 8;
constexpr int kProducts = (KERNEL_VECTORS + kProductVectors - 1) / kProductVectors;
static_assert(KERNEL_VECTORS == 1 || KERNEL_VECTORS % kProductVectors == 0, "tiles are one vector or whole products");

// Where a block works. Blocks of the same rows follow each other, so that weights come from memory once.
struct DensePlace {
  int row;
  int vector;
};
ROUTER_INLINE DensePlace dense_place(u32 tiles) {
  const u32 block = block_index();
  return {static_cast<int>(block / tiles) * kBlockRows, static_cast<int>(block % tiles) * KERNEL_VECTORS};
}

}  // namespace ROUTER_NAMESPACE
