// What a dispatch plan consists of, written from the number of slots of each expert.

#if ROUTER_PLAN
namespace ROUTER_NAMESPACE {

// Where the plan goes in device memory.
struct PlanOutputs {
  i32* expertOffsets;  // [E + 1]
  i32* sortedSlots;    // [slots]
  // [2 + E + 2 * tileCapacity]: how many experts have rows and how many tiles there are; the experts that have rows; the
  // expert of each tile; its first position in sortedSlots. -1 past the last of each.
  i32* expertTiles;
  u32 tileCapacity;
#if ROUTER_EXPERT_TILES
  u32 tileShift;  // a tile has 2^tileShift rows: an argument, so that one kernel serves every height
#endif
};

// What a kernel takes for it as its last argument, and gives to the above.
#undef ROUTER_TILES_PARAMETER
#undef ROUTER_TILES_VALUE
#if ROUTER_EXPERT_TILES
#define ROUTER_TILES_PARAMETER , u32 tileShift
#define ROUTER_TILES_VALUE , tileShift
#else
#define ROUTER_TILES_PARAMETER
#define ROUTER_TILES_VALUE
#endif

// What the block keeps of each expert.
struct ExpertPositions {
  u32 offsets[kPlanExperts + 1];  // its first position in sortedSlots
#if ROUTER_EXPERT_TILES
  u32 firstTiles[kPlanExperts + 1];
#endif
#if ROUTER_NVIDIA
  // In whole pieces of 16 bytes: NVIDIA's compiler reads several at once, and with them what lies beside, which another thread may
  // be writing. Nobody uses that, but racecheck sees it.
  alignas(16) u32 sums[(kPlanWaves + 3) / 4 * 4];
#else
  u32 sums[kPlanWaves];
#endif
};

constexpr u32 kExpertsPerThread = (kPlanExperts + kPlanThreads - 1) / kPlanThreads;

// A thread's experts are kExpertsPerThread neighbours.
ROUTER_INLINE u32 expert_of_thread(u32 i) { return thread_index() * kExpertsPerThread + i; }

// Positions [begin, end) past the last expert's are -1.
ROUTER_INLINE void fill_unused(u32 begin, u32 end, u32 used, i32* sortedSlots) {
  for (u32 i = larger(begin, used) + thread_index(); i < end; i += kPlanThreads) sortedSlots[i] = -1;
}

#if ROUTER_EXPERT_TILES

// Lists the experts that have rows, and the tiles of their rows; block `block` of `blocks` writes its part. The offsets
// are known, and a barrier has passed since.
ROUTER_INLINE void write_expert_tiles(ExpertPositions& positions, const PlanOutputs& outputs, u32 block, u32 blocks) {
  u32 tiles[kExpertsPerThread];
  u32 ownTiles = 0;
  u32 ownActive = 0;
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    const u32 expert = expert_of_thread(i);
    const u32 rows = expert < kPlanExperts ? positions.offsets[expert + 1] - positions.offsets[expert] : 0;
    tiles[i] = (rows + (1u << outputs.tileShift) - 1) >> outputs.tileShift;
    ownTiles += tiles[i];
    ownActive += rows > 0;
  }
  u32 allTiles;
  u32 nextTile = sum_of_threads_before(ownTiles, positions.sums, &allTiles);
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    if (expert_of_thread(i) < kPlanExperts) positions.firstTiles[expert_of_thread(i)] = nextTile;
    nextTile += tiles[i];
  }
  if (thread_index() == 0) positions.firstTiles[kPlanExperts] = allTiles;
  block_barrier();
  i32* activeExperts = outputs.expertTiles + 2;
  i32* tileExperts = activeExperts + kPlanExperts;
  i32* tileStarts = tileExperts + outputs.tileCapacity;
  if (block == 0) {
    u32 allActive;
    u32 active = sum_of_threads_before(ownActive, positions.sums, &allActive);
#pragma unroll
    for (u32 i = 0; i < kExpertsPerThread; i++) {
      const u32 expert = expert_of_thread(i);
      if (expert >= kPlanExperts) break;
      // The experts that have no rows stand for the places that are left.
      if (tiles[i] > 0) {
        activeExperts[active++] = static_cast<i32>(expert);
      } else {
        activeExperts[allActive + expert - active] = -1;
      }
    }
    if (thread_index() == 0) {
      outputs.expertTiles[0] = static_cast<i32>(allActive);
      outputs.expertTiles[1] = static_cast<i32>(allTiles);
    }
  }
  for (u32 tile = block * kPlanThreads + thread_index(); tile < outputs.tileCapacity; tile += blocks * kPlanThreads) {
    // The last expert whose first tile is this one or one before it.
    u32 expert = 0;
#pragma unroll
    for (u32 step = kNextPowerOfTwo<kPlanExperts> / 2; step > 0; step /= 2) {
      if (expert + step < kPlanExperts && positions.firstTiles[expert + step] <= tile) expert += step;
    }
    const bool isTile = tile < allTiles;
    const u32 start = positions.offsets[expert] + ((tile - positions.firstTiles[expert]) << outputs.tileShift);
    tileExperts[tile] = isTile ? static_cast<i32>(expert) : -1;
    tileStarts[tile] = isTile ? static_cast<i32>(start) : -1;
  }
}

#endif

}  // namespace ROUTER_NAMESPACE
#endif
