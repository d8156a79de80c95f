// The plan of tokens that many blocks have routed. Each of those blocks leaves behind, as a row of the workspace, how many
// slots of every expert it has, and for each slot how many slots of the same expert are before it in the block. A slot's
// place follows: where its expert begins, and its expert's slots in the rows before, and in the row before it.

#if ROUTER_PLAN
namespace ROUTER_NAMESPACE {

// Counts of four experts lie in a word, a byte each.
constexpr u32 kCountWords = (kPlanExperts + 3) / 4;

// The scratch memory of a plan. The number of arrived blocks is 0 before every launch, and is left so.
struct Workspace {
  u32* arrivals;  // [1], in 16 bytes
  u32* counts;    // u8 [rows, 4 * kCountWords]
  u8* ranks;      // [slots]
};

ROUTER_INLINE Workspace workspace_of(u32* workspace, u32 rows) {
  u32* counts = workspace + 4;
  return {workspace, counts, reinterpret_cast<u8*>(counts + static_cast<u64>(rows) * kCountWords)};
}

// The expert of a slot; kPlanExperts or more where it goes to none.
ROUTER_INLINE u32 expert_of_slot(const void* ids, u64 slot) {
#if ROUTER_IDS_BYTES == 8
  return static_cast<u32>(static_cast<const i64*>(ids)[slot]);
#else
  return static_cast<const u32*>(ids)[slot];
#endif
}

// So many take turns in adding up rows, each with a thread for every word of a row.
constexpr u32 kAdders = kPlanThreads < kCountWords ? 1 : (kPlanThreads / kCountWords < 32 ? kPlanThreads / kCountWords : 32);
// Rows whose slots are placed at once.
constexpr u32 kRowGroup = ROUTER_ROW_GROUP;

struct RowMemory {
  ExpertPositions positions;
  // Of expert 4 * word + byte, at byte * kCountWords + word, so that neighbouring threads add in different banks.
  u32 totals[4 * kCountWords];
  u32 inRowsBefore[4 * kCountWords];
  // Where the next slot of an expert goes that a row has.
  u32 next[kRowGroup][kPlanExperts];
};

ROUTER_INLINE u32 place_of_count(u32 expert) { return expert % 4 * kCountWords + expert / 4; }

ROUTER_INLINE void clear_rows(RowMemory& memory) {
  for (u32 i = thread_index(); i < 4 * kCountWords; i += kPlanThreads) {
    memory.totals[i] = 0;
    memory.inRowsBefore[i] = 0;
  }
}

// Rows that a thread may add up in 16 bits: a row has no more than 128 slots of an expert.
constexpr u32 kRowsInHalves = 256;

// Adds the sums of four experts, in 16 bits each: of the first and third, and of the second and fourth.
ROUTER_INLINE void add_halves(u32* sums, u32 word, u32 even, u32 odd) {
  add_to(&sums[word], even & 0xffff);
  add_to(&sums[kCountWords + word], odd & 0xffff);
  add_to(&sums[2 * kCountWords + word], even >> 16);
  add_to(&sums[3 * kCountWords + word], odd >> 16);
}

// Adds up the counts of all rows, and of those before `firstRow`. Both sums are cleared before.
ROUTER_INLINE void add_up_counts(const u32* counts, u32 rows, u32 firstRow, RowMemory& memory) {
  for (u32 i = thread_index(); i < kAdders * kCountWords; i += kPlanThreads) {
    const u32 word = i % kCountWords;
    for (u32 first = i / kCountWords; first < rows; first += kAdders * kRowsInHalves) {
      const u32 end = smaller(first + kAdders * kRowsInHalves, rows);
      u32 even = 0;
      u32 odd = 0;
      u32 evenBefore = 0;
      u32 oddBefore = 0;
#pragma unroll 8
      for (u32 row = first; row < end; row += kAdders) {
        const u32 four = counts[static_cast<u64>(row) * kCountWords + word];
        const u32 ofEven = four & 0x00ff00ff;
        const u32 ofOdd = four >> 8 & 0x00ff00ff;
        even += ofEven;
        odd += ofOdd;
        evenBefore += row < firstRow ? ofEven : 0;
        oddBefore += row < firstRow ? ofOdd : 0;
      }
      add_halves(memory.totals, word, even, odd);
      if (first < firstRow) add_halves(memory.inRowsBefore, word, evenBefore, oddBefore);
    }
  }
}

// The slots of each of a thread's experts, in all rows and in those before.
struct ExpertCounts {
  u32 all[kExpertsPerThread];
  u32 before[kExpertsPerThread];
};

// Up to so many rows, each thread reads what it needs to know of its own experts, without a detour.
constexpr u32 kFewRows = 16;

ROUTER_INLINE ExpertCounts count_few_rows(const u32* counts, u32 rows, u32 firstRow) {
  ExpertCounts sums;
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    const u32 expert = expert_of_thread(i);
    const u8* count = reinterpret_cast<const u8*>(counts) + expert;
    sums.all[i] = 0;
    sums.before[i] = 0;
#pragma unroll
    for (u32 row = 0; row < kFewRows; row++) {
      const u32 found = row < rows && expert < kPlanExperts ? count[row * (4 * kCountWords)] : 0;
      sums.all[i] += found;
      sums.before[i] += row < firstRow ? found : 0;
    }
  }
  return sums;
}

// For any number of rows. The memory is cleared.
ROUTER_INLINE ExpertCounts count_rows(const u32* counts, u32 rows, u32 firstRow, RowMemory& memory) {
  if (rows <= kFewRows) return count_few_rows(counts, rows, firstRow);
  add_up_counts(counts, rows, firstRow, memory);
  block_barrier();
  ExpertCounts sums;
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    const u32 expert = expert_of_thread(i);
    sums.all[i] = expert < kPlanExperts ? memory.totals[place_of_count(expert)] : 0;
    sums.before[i] = expert < kPlanExperts ? memory.inRowsBefore[place_of_count(expert)] : 0;
  }
  return sums;
}

// The slots of a group of rows that a thread reads: thread, thread + kPlanThreads, ...
constexpr u32 kGroupSlots = kRowGroup * kBlockSlots;
constexpr u32 kSlotsPerThread = (kGroupSlots + kPlanThreads - 1) / kPlanThreads;
struct GroupSlots {
  u32 experts[kSlotsPerThread];
  u32 ranks[kSlotsPerThread];
};

// Reads the slots of the group that begins at `firstRow`, below `endSlot`.
ROUTER_INLINE void load_group(const void* ids, const u8* ranks, u32 firstRow, u32 endSlot, GroupSlots& slots) {
  const u32 first = firstRow * kBlockSlots;
#pragma unroll
  for (u32 i = 0; i < kSlotsPerThread; i++) {
    const u32 inGroup = thread_index() + i * kPlanThreads;
    const u32 slot = first + inGroup;
    const bool isThere = inGroup < kGroupSlots && slot < endSlot;
    slots.experts[i] = isThere ? expert_of_slot(ids, slot) : kPlanExperts;
    slots.ranks[i] = isThere ? ranks[slot] : 0;
  }
}

// Makes the plan of the rows [firstRow, endRow), whose first group is loaded, and what all rows have in common: block
// `block` of `blocks` its part of that.
ROUTER_INLINE void place_rows(RowMemory& memory, const void* ids, const Workspace& workspace,
                              const ExpertCounts& counted, GroupSlots& slots, u32 firstRow, u32 endRow, u32 allSlots,
                              const PlanOutputs& outputs, u32 block, u32 blocks) {
  ExpertPositions& positions = memory.positions;
  u32 next[kExpertsPerThread];
  u32 own = 0;
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    next[i] = own;
    own += counted.all[i];
  }
  u32 used;
  const u32 offset = sum_of_threads_before(own, positions.sums, &used);
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    const u32 expert = expert_of_thread(i);
    if (expert >= kPlanExperts) break;
    const u32 first = offset + next[i];
#if ROUTER_EXPERT_TILES
    positions.offsets[expert] = first;
#endif
    if (block == 0) outputs.expertOffsets[expert] = static_cast<i32>(first);
    next[i] = first + counted.before[i];
  }
  if (thread_index() == 0) {
#if ROUTER_EXPERT_TILES
    positions.offsets[kPlanExperts] = used;
#endif
    if (block == 0) outputs.expertOffsets[kPlanExperts] = static_cast<i32>(used);
  }

  const u32 endSlot = smaller(endRow * kBlockSlots, allSlots);
  for (u32 group = firstRow; group < endRow; group += kRowGroup) {
    const u32 groupRows = smaller(kRowGroup, endRow - group);
#pragma unroll
    for (u32 i = 0; i < kExpertsPerThread; i++) {
      const u32 expert = expert_of_thread(i);
      if (expert >= kPlanExperts) break;
      const u8* counts = reinterpret_cast<const u8*>(workspace.counts) + static_cast<u64>(group) * (4 * kCountWords);
      for (u32 row = 0; row < groupRows; row++) {
        memory.next[row][expert] = next[i];
        // The row after the last asks for no more.
        if (group + row + 1 < endRow) next[i] += counts[row * (4 * kCountWords) + expert];
      }
    }
    block_barrier();
    const u32 first = group * kBlockSlots;
#pragma unroll
    for (u32 i = 0; i < kSlotsPerThread; i++) {
      const u32 inGroup = thread_index() + i * kPlanThreads;
      if (slots.experts[i] >= kPlanExperts) continue;
      const u32 row = inGroup / kBlockSlots;
      outputs.sortedSlots[memory.next[row][slots.experts[i]] + slots.ranks[i]] = static_cast<i32>(first + inGroup);
    }
    if (group + kRowGroup >= endRow) break;
    load_group(ids, workspace.ranks, group + kRowGroup, endSlot, slots);
    block_barrier();
  }
  fill_unused(firstRow * kBlockSlots, endSlot, used, outputs.sortedSlots);
#if ROUTER_EXPERT_TILES
  block_barrier();
  write_expert_tiles(positions, outputs, block, blocks);
#endif
}

}  // namespace ROUTER_NAMESPACE
#endif
