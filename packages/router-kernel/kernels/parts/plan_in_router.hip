// The router's share of the dispatch plan. ROUTER_PLAN says how much of the plan a routing launch makes:
//
//   0  nothing
//   1  all of it, in the one block that routes every token
//   2  all of it, in the block that arrives last
//   3  a row of the workspace in each block, from which dispatch_plan.hip makes the plan

namespace ROUTER_NAMESPACE {

constexpr bool kMakesPlan = ROUTER_PLAN != 0;

#if ROUTER_PLAN

struct PlanMemory {
  Batch batch;
#if ROUTER_PLAN == 1
  ExpertPositions positions;
  u16 before[kMatrixWords];  // bits set in the words before each
#elif ROUTER_PLAN == 2
  RowMemory rows;
  bool isLast;
#endif
};

ROUTER_INLINE PlanMemory& plan_memory() {
  __shared__ PlanMemory memory;
  return memory;
}

// To be called before the wait for the kernel before: it touches shared memory alone.
ROUTER_INLINE void begin_plan() {
  clear_batch(plan_memory().batch);
  block_barrier();
}

#endif

// Winner k of a token of the block; -1 where the slot belongs to no expert.
ROUTER_INLINE void note_winner(u32 token, u32 k, i32 expert) {
#if ROUTER_PLAN
  const u32 inBlock = token - block_index() * kBlockTokens;
  note_slot(plan_memory().batch, inBlock * kTopK + k, static_cast<u32>(expert));
#endif
}

#if ROUTER_PLAN

// A thread's slots of the block: all are on their way before one is looked at.
constexpr u32 kOwnSlots = (kBlockSlots + kPlanThreads - 1) / kPlanThreads;
ROUTER_INLINE u32 own_slot(u32 i) { return thread_index() + i * kPlanThreads; }

struct OwnSlots {
  u32 experts[kOwnSlots];
};

// Of the first `slots`.
ROUTER_INLINE OwnSlots own_slots(const Batch& batch, u32 slots) {
  OwnSlots own;
#pragma unroll
  for (u32 i = 0; i < kOwnSlots; i++) own.experts[i] = own_slot(i) < slots ? batch.experts[own_slot(i)] : kNoExpert;
  return own;
}

#endif

#if ROUTER_PLAN == 1

// Words of the bit matrix that have bits, and how many of them a thread counts.
constexpr u32 kTokenWords = (kBlockTokens + 31) / 32;
constexpr u32 kUsedWords = kPlanExperts * kTokenWords;
constexpr u32 kRunWords = (kUsedWords + kPlanThreads - 1) / kPlanThreads;
ROUTER_INLINE u32 place_of_word(u32 word) { return word / kTokenWords * kRowWords + word % kTokenWords; }

ROUTER_INLINE void put_offset(const PlanOutputs& outputs, u32 expert, u32 offset) {
  outputs.expertOffsets[expert] = static_cast<i32>(offset);
#if ROUTER_EXPERT_TILES
  plan_memory().positions.offsets[expert] = offset;
#endif
}

// Every token of the call is a token of this block, and is noted.
ROUTER_INLINE void finish_plan(const void*, u32 tokens, u32*, u32, const PlanOutputs& outputs) {
  const Batch& batch = plan_memory().batch;
  u16* before = plan_memory().before;
  block_barrier();
  // A thread's words, one after the other, but for those that only set rows apart.
  const u32 first = thread_index() * kRunWords;
  u32 counts[kRunWords];
  u32 own = 0;
#pragma unroll
  for (u32 i = 0; i < kRunWords; i++) {
    counts[i] = first + i < kUsedWords ? count_bits(batch.bits[place_of_word(first + i)]) : 0;
    own += counts[i];
  }
  u32 used;
  u32 next = sum_of_threads_before(own, plan_memory().positions.sums, &used);
#pragma unroll
  for (u32 i = 0; i < kRunWords; i++) {
    const u32 word = first + i;
    if (word >= kUsedWords) break;
    before[place_of_word(word)] = static_cast<u16>(next);
    // An expert begins with its first word.
    if (word % kTokenWords == 0) put_offset(outputs, word / kTokenWords, next);
    next += counts[i];
  }
  if (thread_index() == 0) put_offset(outputs, kPlanExperts, used);
  block_barrier();

  const u32 slots = tokens * kPlanTopK;
  const OwnSlots ownSlots = own_slots(batch, slots);
#pragma unroll
  for (u32 i = 0; i < kOwnSlots; i++) {
    if (ownSlots.experts[i] == kNoExpert) continue;
    const u32 token = own_slot(i) / kPlanTopK;
    const u32 word = ownSlots.experts[i] * kRowWords + token / 32;
    outputs.sortedSlots[before[word] + bits_before(batch.bits[word], token)] = static_cast<i32>(own_slot(i));
  }
  fill_unused(0, slots, used, outputs.sortedSlots);
#if ROUTER_EXPERT_TILES
  write_expert_tiles(plan_memory().positions, outputs, 0, 1);
#endif
}

#elif ROUTER_PLAN

static_assert(kBlockTokens <= 128, "counts and ranks of a row are bytes");

// Writes the block's row.
ROUTER_INLINE void write_row(u32 tokens, const Workspace& workspace) {
  const Batch& batch = plan_memory().batch;
  block_barrier();
  const u32 firstSlot = block_index() * kBlockSlots;
  const u32 slots = smaller(kBlockSlots, tokens * kPlanTopK - firstSlot);
  const OwnSlots own = own_slots(batch, slots);
#pragma unroll
  for (u32 i = 0; i < kOwnSlots; i++) {
    if (own.experts[i] == kNoExpert) continue;
    const u32 slot = own_slot(i);
    const u32 token = slot / kPlanTopK;
    const u32* row = batch.bits + own.experts[i] * kRowWords;
    u32 rank = bits_before(row[token / 32], token);
#pragma unroll
    for (u32 word = 0; word + 1 < kRowWords; word++) rank += word < token / 32 ? count_bits(row[word]) : 0;
    workspace.ranks[firstSlot + slot] = static_cast<u8>(rank);
  }
  u8* counts = reinterpret_cast<u8*>(workspace.counts) + static_cast<u64>(block_index()) * (4 * kCountWords);
  constexpr u32 kOwnCounts = (4 * kCountWords + kPlanThreads - 1) / kPlanThreads;
#pragma unroll
  for (u32 i = 0; i < kOwnCounts; i++) {
    const u32 expert = thread_index() + i * kPlanThreads;
    u32 count = 0;
    if (expert < kPlanExperts) {
#pragma unroll
      for (u32 word = 0; word < kRowWords; word++) count += count_bits(batch.bits[expert * kRowWords + word]);
    }
    if (expert < 4 * kCountWords) counts[expert] = static_cast<u8>(count);
  }
}

#if ROUTER_PLAN == 2

ROUTER_INLINE void finish_plan(const void* ids, u32 tokens, u32* scratch, u32 blocks, const PlanOutputs& outputs) {
  const Workspace workspace = workspace_of(scratch, blocks);
  write_row(tokens, workspace);
  publish_to_device();
  RowMemory& memory = plan_memory().rows;
  clear_rows(memory);
  block_barrier();
  if (thread_index() == 0) {
    plan_memory().isLast = arrive(workspace.arrivals) == blocks - 1;
    if (plan_memory().isLast) *workspace.arrivals = 0;
  }
  block_barrier();
  if (!plan_memory().isLast) return;
  receive_from_device();
  GroupSlots slots;
  load_group(ids, workspace.ranks, 0, tokens * kPlanTopK, slots);
  const ExpertCounts counted = count_rows(workspace.counts, blocks, 0, memory);
  place_rows(memory, ids, workspace, counted, slots, 0, blocks, tokens * kPlanTopK, outputs, 0, 1);
}

#else

ROUTER_INLINE void finish_plan(const void*, u32 tokens, u32* scratch, u32 blocks, const PlanOutputs&) {
  write_row(tokens, workspace_of(scratch, blocks));
}

#endif
#endif

}  // namespace ROUTER_NAMESPACE
