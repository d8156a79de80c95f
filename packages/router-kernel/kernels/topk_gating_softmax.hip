#if ROUTER_PLAN
#define ROUTER_PLAN_PARAMETERS                                                                           \
  , i32 *__restrict__ expertOffsets, i32 *__restrict__ sortedSlots, i32 *__restrict__ expertTiles,       \
      u32 *__restrict__ workspace, u32 tileCapacity, u32 blocks ROUTER_TILES_PARAMETER
#else
#define ROUTER_PLAN_PARAMETERS
#endif

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(ROUTER_THREADS)
    ROUTER_SYMBOL(const void* __restrict__ logits, float* __restrict__ weights, void* __restrict__ ids,
                  u32 rowBytes, u32 tokens, float routedScalingFactor, u32 rangeStart, u32 rangeEnd,
                  i32* __restrict__ tokenExpertIndices, const float* correctionBias, const u8* paddingMask,
                  const u32* rowCount ROUTER_PLAN_PARAMETERS) {
  // The three before the plan's are not __restrict__: loads of memory that is known not to change may be moved up past
  // the wait for the kernel before.
  const u32 thread = thread_index();
  const u32 lane = thread % kLanes;
  const u32 first = block_index() * (kTurns * kTokensPerBlock) + thread / kLanes;
#if ROUTER_PLAN
  begin_plan();
#pragma unroll 1
  for (u32 token = first; token < first + kTurns * kTokensPerBlock; token += kTokensPerBlock)
#else
  const u32 token = first;
#endif
  {
    // Every lane of a wave takes part in its exchanges: those past the end, unless they are whole waves, work on the
    // last row again and store nothing.
    const bool isRouted = kEndsWholeWaves ? token < tokens : !kMakesPlan || tokens > 0;
#if ROUTER_PLAN
    // Whoever routes waits before it reads its row.
    if (!isRouted) once_kernel_before_is_done(static_cast<const u8*>(logits));
#endif
    if (isRouted) {
      const u32 row = kEndsWholeWaves ? token : smaller(token, tokens - 1);
      const u8* rowLogits = static_cast<const u8*>(logits) + static_cast<u64>(row) * rowBytes;
      route_row(rowLogits, thread, lane, token, row, weights, ids, tokens, routedScalingFactor, rangeStart, rangeEnd,
                tokenExpertIndices, correctionBias, paddingMask, rowCount);
    }
  }
#if ROUTER_PLAN
  finish_plan(ids, tokens, workspace, blocks, {expertOffsets, sortedSlots, expertTiles, tileCapacity ROUTER_TILES_VALUE});
#endif
}

#undef ROUTER_PLAN_PARAMETERS

}  // namespace ROUTER_NAMESPACE
