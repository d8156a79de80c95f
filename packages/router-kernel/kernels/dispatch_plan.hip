// The second launch of the dispatch plan of many tokens, a stable counting sort of the slots (token * K + k) by expert:
// every block adds up all counts of the routing launch, which gives where the slots of its rows go, and puts them there.
// Nothing depends on timing, and no block waits for another.

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(ROUTER_THREADS)
    ROUTER_SYMBOL(const void* ids, u32* scratch, i32* __restrict__ expertOffsets, i32* __restrict__ sortedSlots,
                  i32* __restrict__ expertTiles, u32 tileCapacity, u32 slots, u32 rows, u32 rowsPerBlock,
                  u32 blocks ROUTER_TILES_PARAMETER) {
  // What the routing launch wrote is not __restrict__: loads of memory that is known not to change may be moved up past
  // the wait for it.
  __shared__ RowMemory memory;
  const u32 firstRow = block_index() * rowsPerBlock;
  const u32 endRow = smaller(firstRow + rowsPerBlock, rows);
  clear_rows(memory);
  block_barrier();

  const u8* readable = once_kernel_before_is_done(static_cast<const u8*>(ids));
  if constexpr (ROUTER_EARLY_TRIGGER) let_kernel_after_begin();
  // Both loads are on their way before either is waited for.
  const Workspace workspace = workspace_of(scratch, rows);
  GroupSlots group;
  load_group(readable, workspace.ranks, firstRow, smaller(endRow * kBlockSlots, slots), group);
  const ExpertCounts counted = count_rows(workspace.counts, rows, firstRow, memory);
  place_rows(memory, readable, workspace, counted, group, firstRow, endRow, slots,
             {expertOffsets, sortedSlots, expertTiles, tileCapacity ROUTER_TILES_VALUE}, block_index(), blocks);
}

}  // namespace ROUTER_NAMESPACE
