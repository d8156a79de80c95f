// Expert groups, the DeepSeek-V3 rule: only the experts of the topKGroups best groups are candidates; a group ranks by
// the sum of its two best choice scores (by its best one in DeepSeek-V2's), and of equal groups the lower goes first.

namespace ROUTER_NAMESPACE {

constexpr bool kRanksByBest = ROUTER_GROUP_SCORE == 1 || kGroupSize == 1;

// The two best choice scores of some experts.
struct BestTwo {
  float first;
  float second;
};

ROUTER_INLINE void take(BestTwo& best, float choice) {
  best.second = larger(best.second, smaller(best.first, choice));
  best.first = larger(best.first, choice);
}

ROUTER_INLINE i64 group_key(BestTwo best, u32 group) {
  return wide_key(order_of_float(kRanksByBest ? best.first : rounded_sum(best.first, best.second)), group);
}

constexpr BestTwo kNothing = {-kInfinity, -kInfinity};

// Merges the best two of the lanes that share a group.
template <int LANES, int STEP = 1>
ROUTER_INLINE BestTwo across_group_lanes(BestTwo best) {
  if constexpr (STEP < LANES) {
    const float first = from_other_half<STEP>(best.first);
    const float second = from_other_half<STEP>(best.second);
    const BestTwo merged = {larger(best.first, first),
                            larger(smaller(best.first, first), larger(best.second, second))};
    return across_group_lanes<LANES, STEP * 2>(merged);
  } else {
    return best;
  }
}

// Blocked rows: a lane's slots are one group, part of one, or several whole ones.
ROUTER_INLINE void drop_groups_in_registers(const float* choices, u32 lane, Key* keys) {
  constexpr int kLaneGroups = kBlocked && kGroupSize < kSlots ? kSlots / kGroupSize : 1;
  constexpr int kLanesPerGroup = kBlocked && kGroupSize > kSlots ? kGroupSize / kSlots : 1;
  constexpr int kSlotsPerGroup = kSlots / kLaneGroups;
  constexpr int kKept = kNextPowerOfTwo<kTopKGroups>;
  constexpr int kListed = kKept < kNextPowerOfTwo<kLaneGroups> ? kKept : kNextPowerOfTwo<kLaneGroups>;

  i64 groups[kLaneGroups];
#pragma unroll
  for (int group = 0; group < kLaneGroups; group++) {
    BestTwo best = kNothing;
#pragma unroll
    for (int slot = 0; slot < kSlotsPerGroup; slot++) take(best, choices[group * kSlotsPerGroup + slot]);
    best = across_group_lanes<kLanesPerGroup>(best);
    groups[group] = group_key(best, lane / kLanesPerGroup * kLaneGroups + group);
  }
  i64 kept[kKept];
  select_best<kListed, kLaneGroups>(groups, kept);
  merge_across_lanes<kLanes, kListed, kKept, kLanesPerGroup>(kept);
#pragma unroll
  for (int slot = 0; slot < kSlots; slot++) {
    if (groups[slot / kSlotsPerGroup] > kept[kTopKGroups - 1]) keys[slot] = kNoKey<Key>;
  }
}

// Any other shape: the block's choice scores and group ranks go through shared memory. The only path with a barrier.
ROUTER_INLINE void drop_groups_in_shared_memory(const float* choices, u32 lane, u32 tokenInBlock, Key* keys) {
  constexpr int kTokens = ROUTER_THREADS / kLanes;
  __shared__ float choicesOf[kTokens][kExperts];
  __shared__ i64 rankOf[kTokens][kGroups];
  __shared__ u8 isDropped[kTokens][kGroups];
#pragma unroll
  for (int slot = 0; slot < kSlots; slot++) {
    if (is_in_row(lane, slot)) choicesOf[tokenInBlock][first_expert(lane) + expert_offset(slot)] = choices[slot];
  }
  block_barrier();
  for (u32 group = lane; group < kGroups; group += kLanes) {
    BestTwo best = kNothing;
    for (u32 i = 0; i < kGroupSize; i++) take(best, choicesOf[tokenInBlock][group * kGroupSize + i]);
    rankOf[tokenInBlock][group] = group_key(best, group);
  }
  block_barrier();
  for (u32 group = lane; group < kGroups; group += kLanes) {
    u32 better = 0;
    for (u32 other = 0; other < kGroups; other++) {
      better += rankOf[tokenInBlock][other] < rankOf[tokenInBlock][group];
    }
    isDropped[tokenInBlock][group] = better >= kTopKGroups;
  }
  block_barrier();
#pragma unroll
  for (int slot = 0; slot < kSlots; slot++) {
    const u32 expert = first_expert(lane) + expert_offset(slot);
    if (is_in_row(lane, slot) && isDropped[tokenInBlock][expert / kGroupSize]) keys[slot] = kNoKey<Key>;
  }
}

// A lane's keys where the ranking is by the choice score. Like keys_of_logits, without the lane's first expert.
ROUTER_INLINE RowSums keys_of_choices(const u32* words, const float* bias, u32 lane, u32 tokenInBlock, Key* keys) {
  float logits[kSlots];
  bool isNan[kSlots];
#pragma unroll
  for (int slot = 0; slot < kSlots; slot++) {
    const float logit = logit_of_slot(words, lane, slot);
    isNan[slot] = logit != logit;
    logits[slot] = isNan[slot] ? -kInfinity : logit;
  }
  float choices[kSlots];
  const RowSums row = scores_for_ranking(logits, choices);
#pragma unroll
  for (int slot = 0; slot < kSlots; slot++) {
    if constexpr (kHasBias) {
      if (is_in_row(lane, slot)) {
        choices[slot] = rounded_sum(choices[slot], bias[first_expert(lane) + expert_offset(slot)]);
      }
    }
    if (isNan[slot]) choices[slot] = -kInfinity;
    const i64 key = wide_key(order_of_float(choices[slot]), expert_offset(slot));
    keys[slot] = is_in_row(lane, slot) ? static_cast<Key>(key) : kNoKey<Key>;
  }
  if constexpr (kBlocked) {
    drop_groups_in_registers(choices, lane, keys);
  } else if constexpr (kGroups > 1) {
    drop_groups_in_shared_memory(choices, lane, tokenInBlock, keys);
  }
  return row;
}

}  // namespace ROUTER_NAMESPACE
