// The router's share of the dispatch plan. ROUTER_PLAN says how much of the plan a routing launch makes:
//
//   0  nothing
//   1  all of it, in the one block that routes every token
//   2  all of it, in the block that arrives last
//   3  how many slots each expert has in each block; dispatch_plan.hip does the rest

namespace ROUTER_NAMESPACE {

#if ROUTER_PLAN == 1

struct PlanMemory {
  Batch batch;
  ExpertPositions positions;
};

#elif ROUTER_PLAN == 2

struct PlanMemory {
  Batch batch;
  ExpertPositions positions;
  bool isLast;
};

#elif ROUTER_PLAN == 3

// Four experts to a word, a byte each.
constexpr u32 kCountWords = (kExperts + 3) / 4;
static_assert(ROUTER_THREADS / kLanes <= 255, "a block's count of an expert fits a byte");

struct PlanMemory {
  u32 counts[kCountWords * 4];
};

#endif

#if ROUTER_PLAN

ROUTER_INLINE PlanMemory& plan_memory() {
  __shared__ PlanMemory memory;
  return memory;
}

// To be called before the wait for the kernel before: it touches shared memory alone.
ROUTER_INLINE void begin_plan() {
#if ROUTER_PLAN == 1
  clear_batch(plan_memory().batch);
#elif ROUTER_PLAN == 3
  for (u32 i = thread_index(); i < kCountWords * 4; i += ROUTER_THREADS) plan_memory().counts[i] = 0;
#endif
  block_barrier();
}

#endif

// Winner k of the block's token number `token`; -1 where the slot belongs to no expert.
ROUTER_INLINE void note_winner(u32 token, u32 k, i32 expert) {
#if ROUTER_PLAN == 1
  note_slot(plan_memory().batch, token * kTopK + k, static_cast<u32>(expert));
#elif ROUTER_PLAN == 3
  if (expert >= 0) add_to(&plan_memory().counts[expert], 1);
#endif
}

#if ROUTER_PLAN == 1

// Every token of the call is a token of this block, and is noted.
ROUTER_INLINE void finish_plan(const void*, u32 tokens, u32*, u32, const PlanOutputs& outputs) {
  Batch& batch = plan_memory().batch;
  const u32 slots = tokens * kPlanTopK;
  block_barrier();
  rank_batch(batch, plan_memory().positions.sums);
  block_barrier();
  for (u32 expert = thread_index(); expert <= kPlanExperts; expert += kPlanThreads) {
    const u32 offset = batch.before[expert * kRowWords];
    outputs.expertOffsets[expert] = static_cast<i32>(offset);
#if ROUTER_EXPERT_TILES
    plan_memory().positions.offsets[expert] = offset;
#endif
  }
  sort_batch(batch, slots);
  block_barrier();
  const u32 used = batch.before[kMatrixWords];
  for (u32 i = thread_index(); i < slots; i += kPlanThreads) {
    outputs.sortedSlots[i] = i < used ? static_cast<i32>(batch.slots[i]) : -1;
  }
#if ROUTER_EXPERT_TILES
  write_expert_tiles(plan_memory().positions, outputs, 0, 1);
#endif
}

#elif ROUTER_PLAN == 2

// workspace: the number of blocks that have arrived, which is 0 before every launch, and is left so.
ROUTER_INLINE void finish_plan(const void* ids, u32 tokens, u32* workspace, u32 blocks, const PlanOutputs& outputs) {
  Batch& batch = plan_memory().batch;
  ExpertPositions& positions = plan_memory().positions;
  publish_to_device();
  block_barrier();
  if (thread_index() == 0) {
    plan_memory().isLast = arrive(workspace) == blocks - 1;
    if (plan_memory().isLast) *workspace = 0;
  }
  clear_batch(batch);
  for (u32 expert = thread_index(); expert < kPlanExperts; expert += kPlanThreads) positions.next[expert] = 0;
  block_barrier();
  if (!plan_memory().isLast) return;
  receive_from_device();

  const u32 slots = tokens * kPlanTopK;
  const u32 count = smaller(slots, kBatchSlots);
  u32 experts[kSlotsPerThread];
  load_experts(ids, 0, count, experts);
  note_experts(batch, count, experts);
#pragma unroll
  for (u32 i = 0; i < kSlotsPerThread; i++) {
    if (experts[i] < kPlanExperts) add_to(&positions.next[experts[i]], 1);
  }
  for (u32 slot = kBatchSlots + thread_index(); slot < slots; slot += kPlanThreads) {
    const u32 expert = expert_of_slot(ids, slot);
    if (expert < kPlanExperts) add_to(&positions.next[expert], 1);
  }
  block_barrier();
  u32 totals[kExpertsPerThread];
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    totals[i] = expert_of_thread(i) < kPlanExperts ? positions.next[expert_of_thread(i)] : 0;
  }
  find_offsets(totals, positions);
  block_barrier();
  for (u32 expert = thread_index(); expert < kPlanExperts; expert += kPlanThreads) {
    positions.next[expert] = positions.offsets[expert];
  }
  write_offsets(positions, outputs.expertOffsets);
  fill_unused(0, slots, positions.offsets[kPlanExperts], outputs.sortedSlots);
  place_tokens(batch, positions, ids, 0, tokens, outputs.sortedSlots);
#if ROUTER_EXPERT_TILES
  block_barrier();
  write_expert_tiles(positions, outputs, 0, 1);
#endif
}

#elif ROUTER_PLAN == 3

// workspace: u8 [blocks, 4 * kCountWords], written.
ROUTER_INLINE void finish_plan(const void*, u32, u32* workspace, u32, const PlanOutputs&) {
  const u32* counts = plan_memory().counts;
  block_barrier();
  for (u32 word = thread_index(); word < kCountWords; word += ROUTER_THREADS) {
    workspace[static_cast<u64>(block_index()) * kCountWords + word] =
        counts[4 * word] | counts[4 * word + 1] << 8 | counts[4 * word + 2] << 16 | counts[4 * word + 3] << 24;
  }
}

#endif

}  // namespace ROUTER_NAMESPACE
