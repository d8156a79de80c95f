// The dispatch plan of many tokens, from how many slots of each expert every block of the routing launch has: a stable
// counting sort of the slots (token * K + k) by expert. Each block adds up all counts, which gives where its tokens' slots
// go, and puts them there. Nothing depends on timing.

namespace ROUTER_NAMESPACE {

// The routing launch's counts: u8 [rows, 4 * kCountWords], four experts to a word.
constexpr u32 kCountWords = (kPlanExperts + 3) / 4;
// Threads that add up rows: kCountWords of them for each of these.
constexpr u32 kAdders = kPlanThreads / kCountWords < 32 ? kPlanThreads / kCountWords : 32;
static_assert(kAdders > 0, "a row has no more words than the block threads");

struct PlaceMemory {
  Batch batch;
  ExpertPositions positions;
  // Of expert 4 * word + byte, at byte * kCountWords + word, so that neighbouring threads add in different banks.
  u32 totals[4 * kCountWords];
  u32 inRowsBefore[4 * kCountWords];
};

ROUTER_INLINE u32 place_of_count(u32 expert) { return expert % 4 * kCountWords + expert / 4; }

// Adds up the counts of all rows, and of those before `firstRow`. Both sums are 0 before.
ROUTER_INLINE void add_up_counts(const u32* counts, u32 rows, u32 firstRow, PlaceMemory& memory) {
  const u32 word = thread_index() % kCountWords;
  const u32 adder = thread_index() / kCountWords;
  if (adder >= kAdders) return;
  u32 totals[4] = {0, 0, 0, 0};
  u32 before[4] = {0, 0, 0, 0};
#pragma unroll 8
  for (u32 row = adder; row < rows; row += kAdders) {
    const u32 four = counts[static_cast<u64>(row) * kCountWords + word];
    const bool isBefore = row < firstRow;
#pragma unroll
    for (u32 byte = 0; byte < 4; byte++) {
      const u32 count = four >> 8 * byte & 0xff;
      totals[byte] += count;
      before[byte] += isBefore ? count : 0;
    }
  }
#pragma unroll
  for (u32 byte = 0; byte < 4; byte++) {
    add_to(&memory.totals[byte * kCountWords + word], totals[byte]);
    add_to(&memory.inRowsBefore[byte * kCountWords + word], before[byte]);
  }
}

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(ROUTER_THREADS)
    ROUTER_SYMBOL(const void* ids, const u32* counts, i32* __restrict__ expertOffsets, i32* __restrict__ sortedSlots,
                  i32* __restrict__ expertTiles, u32 tileCapacity, u32 tokens, u32 tokensPerRow, u32 rows,
                  u32 rowsPerBlock, u32 blocks) {
  // What the routing launch wrote is not __restrict__: loads of memory that is known not to change may be moved up past
  // the wait for it.
  __shared__ PlaceMemory memory;
  const u32 firstRow = block_index() * rowsPerBlock;
  const u32 begin = firstRow * tokensPerRow;
  const u32 end = smaller(begin + rowsPerBlock * tokensPerRow, tokens);
  const u32 firstSlots = smaller(kBatchTokens, end - begin) * kPlanTopK;
  clear_batch(memory.batch);
  for (u32 i = thread_index(); i < 4 * kCountWords; i += kPlanThreads) {
    memory.totals[i] = 0;
    memory.inRowsBefore[i] = 0;
  }
  block_barrier();

  const u8* readable = once_kernel_before_is_done(static_cast<const u8*>(ids));
  if constexpr (ROUTER_EARLY_TRIGGER) let_kernel_after_begin();
  // Both loads are on their way before either is waited for.
  u32 experts[kSlotsPerThread];
  load_experts(readable, static_cast<u64>(begin) * kPlanTopK, firstSlots, experts);
  add_up_counts(counts, rows, firstRow, memory);
  note_experts(memory.batch, firstSlots, experts);
  block_barrier();

  u32 totals[kExpertsPerThread];
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    const u32 expert = expert_of_thread(i);
    totals[i] = expert < kPlanExperts ? memory.totals[place_of_count(expert)] : 0;
  }
  find_offsets(totals, memory.positions);
  block_barrier();
  for (u32 expert = thread_index(); expert < kPlanExperts; expert += kPlanThreads) {
    memory.positions.next[expert] = memory.positions.offsets[expert] + memory.inRowsBefore[place_of_count(expert)];
  }
  if (block_index() == 0) write_offsets(memory.positions, expertOffsets);
  fill_unused(begin * kPlanTopK, end * kPlanTopK, memory.positions.offsets[kPlanExperts], sortedSlots);
  place_tokens(memory.batch, memory.positions, ids, begin, end, sortedSlots);
#if ROUTER_EXPERT_TILES
  block_barrier();
  write_expert_tiles(memory.positions, {expertOffsets, sortedSlots, expertTiles, tileCapacity}, block_index(), blocks);
#endif
}

}  // namespace ROUTER_NAMESPACE
