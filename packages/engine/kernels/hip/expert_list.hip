// The items of the expert kernels (expert_items.hip) from the dispatch plan's offsets, i32 [experts + 1]: each expert's
// slots in tiles of KERNEL_VECTORS. One block, a thread an expert.
//
//   list[0]                  how many items there are
//   list[4 + 4 * item ..]    expert, where its slots begin in the plan's order, how many they are

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS) list_experts(const i32* offsets, i32* list) {
  offsets = reinterpret_cast<const i32*>(once_kernel_before_is_done(reinterpret_cast<const u8*>(offsets)));
  let_kernel_after_begin();
  __shared__ i32 tiles[KERNEL_THREADS];
  const int expert = static_cast<int>(thread_index());
  const bool isExpert = expert < MODEL_EXPERTS;
  const i32 begin = isExpert ? offsets[expert] : 0;
  const i32 end = isExpert ? offsets[expert + 1] : 0;
  tiles[expert] = (end - begin + KERNEL_VECTORS - 1) / KERNEL_VECTORS;
  block_barrier();
  i32 first = 0;
  for (int before = 0; before < expert; before++) first += tiles[before];
  for (i32 tile = 0; tile < tiles[expert]; tile++) {
    i32* entry = list + 4 + 4 * (first + tile);
    entry[0] = expert;
    entry[1] = begin + tile * KERNEL_VECTORS;
    entry[2] = smaller(end - begin - tile * KERNEL_VECTORS, KERNEL_VECTORS);
  }
  if (expert == KERNEL_THREADS - 1) list[0] = first + tiles[expert];
}

}  // namespace ROUTER_NAMESPACE
