// The dispatch plan of so few tokens that every thread looks at all their slots: what comes before an expert, and before a
// slot, is counted, and nothing is added up across threads.

// A row's first lane stores the winners' ids, wherever they were found: one store for all, and nothing to decide in each lane.
#define ROUTER_FIRST_LANE_STORES_IDS 1

namespace ROUTER_NAMESPACE {

constexpr bool kMakesPlan = ROUTER_PLAN != 0;

#if ROUTER_PLAN

constexpr u32 kPlanThreads = ROUTER_THREADS;
constexpr u32 kPlanExperts = ROUTER_EXPERTS;
constexpr u32 kPlanSlots = kFusedTokens * kTopK;
// The expert of a slot that goes to none, or that there is not: past all that there are.
constexpr u32 kNoExpert = 0xffff;
static_assert(kPlanSlots <= 1u << 14, "keys have no high bit");

// A slot and its expert in one number, by which slots are in the order of the plan.
ROUTER_INLINE u32 slot_key(u32 expert, u32 slot) { return expert * kPlanSlots + slot; }
ROUTER_INLINE u32 expert_of_key(u32 key) { return key / kPlanSlots; }

struct PlanMemory {
  alignas(16) u32 keys[(kPlanSlots + 3) / 4 * 4];
};

ROUTER_INLINE PlanMemory& plan_memory() {
  __shared__ PlanMemory memory;
  return memory;
}

// Slots before a key. The high bit of a difference tells which of two is less: bits are added up in a tree, where decisions
// would wait for each other.
ROUTER_INLINE u32 slots_before(u32 key) {
  constexpr u32 kChains = 4;
  u32 before[kChains] = {0, 0, 0, 0};
#pragma unroll
  for (u32 slot = 0; slot < kPlanSlots; slot++) before[slot % kChains] += (plan_memory().keys[slot] - key) >> 31;
  return (before[0] + before[1]) + (before[2] + before[3]);
}

// Where the plan goes in device memory.
struct PlanOutputs {
  i32* expertOffsets;  // [E + 1]
  i32* sortedSlots;    // [slots]
  // [2 + E + 2 * tileCapacity]: how many experts have rows and how many tiles there are; the experts that have rows; the
  // expert of each tile; its first position in sortedSlots. -1 past the last of each.
  i32* expertTiles;
  u32 tileCapacity;
};

// A barrier has to follow.
ROUTER_INLINE void begin_plan() {
  for (u32 i = thread_index(); i < kPlanSlots; i += kPlanThreads) plan_memory().keys[i] = slot_key(kNoExpert, i);
}

#endif

// Winner k of a token; -1 where the slot belongs to no expert.
ROUTER_INLINE void note_winner(u32 token, u32 k, i32 expert) {
#if ROUTER_PLAN
  const u32 slot = token * kTopK + k;
  plan_memory().keys[slot] = slot_key(smaller(static_cast<u32>(expert), kNoExpert), slot);
#endif
}

#if ROUTER_PLAN

#if ROUTER_EXPERT_TILES

// A tile has 16 rows or more.
static_assert(kFusedTokens <= 16, "an expert that has rows has one tile");

// Whether a slot is the first of an expert: each expert that has rows is known by one.
ROUTER_INLINE bool is_first_slot(u32 key) {
  const u32 expert = expert_of_key(key);
  return expert != kNoExpert && slots_before(key) == slots_before(slot_key(expert, 0));
}

// Lists the experts that have rows, each of which has one tile of them.
ROUTER_INLINE void write_expert_tiles(const PlanOutputs& outputs) {
  const u32* keys = plan_memory().keys;
  constexpr u32 kRounds = (kPlanSlots + kWaveSize - 1) / kWaveSize;
  LaneMask firstSlots[kRounds];
  u32 active = 0;
#pragma unroll
  for (u32 round = 0; round < kRounds; round++) {
    const u32 slot = round * kWaveSize + thread_index() % kWaveSize;
    firstSlots[round] = ballot(slot < kPlanSlots && is_first_slot(keys[slot]));
    active += count_bits(firstSlots[round]);
  }
  i32* activeExperts = outputs.expertTiles + 2;
  i32* tileExperts = activeExperts + kPlanExperts;
  i32* tileStarts = tileExperts + outputs.tileCapacity;
  for (u32 slot = thread_index(); slot < kPlanSlots; slot += kPlanThreads) {
    if (!is_first_slot(keys[slot])) continue;
    const u32 expert = expert_of_key(keys[slot]);
    const u32 firstKey = slot_key(expert, 0);
    u32 tile = 0;
#pragma unroll
    for (u32 other = 0; other < kPlanSlots; other++) {
      const u32 isOtherFirst = firstSlots[other / kWaveSize] >> other % kWaveSize & 1;
      tile += keys[other] < firstKey ? isOtherFirst : 0;
    }
    activeExperts[tile] = static_cast<i32>(expert);
    tileExperts[tile] = static_cast<i32>(expert);
    tileStarts[tile] = static_cast<i32>(slots_before(firstKey));
  }
  for (u32 i = active + thread_index(); i < kPlanExperts; i += kPlanThreads) activeExperts[i] = -1;
  for (u32 i = active + thread_index(); i < outputs.tileCapacity; i += kPlanThreads) {
    tileExperts[i] = -1;
    tileStarts[i] = -1;
  }
  if (thread_index() == 0) {
    outputs.expertTiles[0] = static_cast<i32>(active);
    outputs.expertTiles[1] = static_cast<i32>(active);
  }
}

#endif

// Makes the plan of a call, every slot of which is noted.
ROUTER_INLINE void finish_plan(u32 tokens, const PlanOutputs& outputs) {
  block_barrier();
#pragma unroll 1
  for (u32 expert = thread_index(); expert < kPlanExperts; expert += kPlanThreads) {
    outputs.expertOffsets[expert] = static_cast<i32>(slots_before(slot_key(expert, 0)));
  }
  // Waves that have nothing more to do take the end of the last expert, and the slots.
  const u32 slots = tokens * kTopK;
#pragma unroll 1
  for (u32 i = kPlanThreads - 1 - thread_index(); i <= kPlanSlots; i += kPlanThreads) {
    const bool isEnd = i == kPlanSlots;
    const u32 key = isEnd ? slot_key(kNoExpert, 0) : plan_memory().keys[i];
    const u32 before = slots_before(key);
    if (isEnd) {
      outputs.expertOffsets[kPlanExperts] = static_cast<i32>(before);
    } else if (i < slots) {
      outputs.sortedSlots[before] = expert_of_key(key) == kNoExpert ? -1 : static_cast<i32>(i);
    }
  }
#if ROUTER_EXPERT_TILES
  write_expert_tiles(outputs);
#endif
}

#endif

}  // namespace ROUTER_NAMESPACE
