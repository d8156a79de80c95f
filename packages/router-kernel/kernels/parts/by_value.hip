// f32 rows by the logits' values alone: a comparison moves one register with two instructions, where a key with its
// expert takes two registers and six. Every lane learns the K best values; the lanes that hold them know the experts,
// and store them. Of equal logits the lower expert's comes first: lower lanes hold lower experts, and a lane's own are in
// order.
//
// Either a wave reads the whole row at once, or chunks of one load are ranked first (chunks.hip), and a word has a bit
// for each chunk.

namespace ROUTER_NAMESPACE {

// Whether the form searches by value. Where ids outside of a range are dropped, one lane has to know all of a token's.
constexpr bool kIsOneLoadOfWave = kHasWaveReduction && kLanes == kWaveSize && kLoads == 1;
constexpr bool kSearchesValues = kDtype == Dtype::f32 && !kRanksByChoice && !ROUTER_EXPERT_RANGE && kTopK <= 8 &&
                                 (kHasChunks ? kLoadsPerRow <= 32 : kIsOneLoadOfWave);

// A key that is a logit and nothing else; -Inf for a NaN. As with other keys the smaller is the better.
struct ValueKey {
  float logit;
};
template <>
constexpr ValueKey kNoKey<ValueKey> = {-kInfinity};

ROUTER_INLINE ValueKey value_key(float logit) { return {larger_number(logit, -kInfinity)}; }
ROUTER_INLINE ValueKey smaller(ValueKey a, ValueKey b) { return {larger_number(a.logit, b.logit)}; }
ROUTER_INLINE ValueKey larger(ValueKey a, ValueKey b) { return {smaller_number(a.logit, b.logit)}; }

template <int STEP>
ROUTER_INLINE ValueKey from_other_half(ValueKey key) {
  return {from_other_half<STEP>(key.logit)};
}

// What a lane holds of the chosen chunks: some experts, in order, and their logits. A logit is a word here.
static_assert(!kSearchesValues || !kHasChunks || kKept * kWordsPerChunk % kLanes == 0, "every lane holds as much");
constexpr int kHeld = (kKept * kWordsPerChunk + kLanes - 1) / kLanes;
struct Held {
  float logits[kHeld];
  u32 experts[kHeld];
};

// The functions below are templates of the number of winners or of chunks, so that forms which search by key do without
// them.

// A bit for each chunk of the row whose best logit is `logit`, and with OR_MORE for those whose best is more, in every lane.
template <bool OR_MORE>
ROUTER_INLINE u32 chunks_of_logit(const ValueKey* keys, u32 lane, float logit) {
  u32 chunks = 0;
  if constexpr (kLanes >= 8) {
    // A vote brings the bits of every token of the wave at once.
    constexpr u32 kOneToken = 0xffffffffu >> (32 - kLanes);
    const u32 firstLane = thread_index() % kWaveSize - lane;
#pragma unroll
    for (int load = 0; load < kLoads; load++) {
      const LaneMask votes = ballot(OR_MORE ? keys[load].logit >= logit : keys[load].logit == logit);
      chunks |= (static_cast<u32>(votes >> firstLane) & kOneToken) << (load * kLanes);
    }
    return chunks;
  } else {
#pragma unroll
    for (int load = 0; load < kLoads; load++) {
      if (OR_MORE ? keys[load].logit >= logit : keys[load].logit == logit) chunks |= 1u << (load * kLanes);
    }
    return token_or<kLanes>(chunks << lane);
  }
}

// The best logit of each of a lane's chunks.
ROUTER_INLINE void best_in_chunks(const u32* words, ValueKey* keys) {
#pragma unroll
  for (int load = 0; load < kLoads; load++) keys[load] = value_key(largest_of_chunk(words + load * kWordsPerChunk));
}

// The COUNT best chunks of the row, a bit each, in every lane; more than COUNT where several equal the last, whose best
// logit is `last`.
template <int COUNT>
ROUTER_INLINE u32 best_chunks_by_value(const u32* words, u32 lane, float& last) {
  ValueKey keys[kLoads];
  best_in_chunks(words, keys);
  ValueKey best[COUNT];
  constexpr int kInLane = COUNT < kNextPowerOfTwo<kLoads> ? COUNT : kNextPowerOfTwo<kLoads>;
  select_best<kInLane, kLoads>(keys, best);
  merge_across_lanes<kLanes, kInLane, COUNT>(best);
  last = best[COUNT - 1].logit;
  return chunks_of_logit<true>(keys, lane, last);
}

// COUNT of the chunks that best_chunks_by_value gave: of those that equal the last the lower ones.
template <int COUNT>
ROUTER_INLINE u32 lower_of_equal_chunks(const u32* words, u32 lane, u32 chunks, float last) {
  ValueKey keys[kLoads];
  best_in_chunks(words, keys);
  u32 equal = chunks_of_logit<false>(keys, lane, last);
  u32 chosen = chunks & ~equal;
  const u32 missing = COUNT - count_bits(chosen);
#pragma unroll
  for (u32 i = 0; i < COUNT; i++) {
    if (i >= missing) continue;
    chosen |= equal & (0u - equal);
    equal &= equal - 1;
  }
  return chosen;
}

// What is left of bits without the `skipped` lowest: `most` or fewer, which unrolling has to know.
ROUTER_INLINE u32 without_lowest(u32 bits, u32 skipped, u32 most) {
#pragma unroll
  for (u32 i = 0; i < most; i++) {
    if (i < skipped) bits &= bits - 1;
  }
  return bits;
}

// A lane's share of COUNT chosen chunks, read again: part of a chunk, or several.
template <int COUNT>
ROUTER_INLINE void hold_share(const u8* row, u32 lane, u32 chosen, Held& held) {
  if constexpr (kHeld >= kWordsPerChunk) {
    constexpr int kChunks = kHeld / kWordsPerChunk;
    u32 left = without_lowest(chosen, lane * kChunks, (kLanes - 1) * kChunks);
#pragma unroll
    for (int i = 0; i < kChunks; i++) {
      const u32 first = lowest_bit(left) * kWordsPerChunk;
      left &= left - 1;
      const Words4 chunk = *reinterpret_cast<const Words4*>(row + first * kLogitBytes);
      const u32 four[kWordsPerChunk] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
      for (int j = 0; j < kWordsPerChunk; j++) {
        held.logits[i * kWordsPerChunk + j] = bits_to_float(four[j]);
        held.experts[i * kWordsPerChunk + j] = first + j;
      }
    }
  } else {
    constexpr int kSharers = kLanes / COUNT;
    const u32 chunk = lowest_bit(without_lowest(chosen, lane / kSharers, COUNT - 1));
    const u32 first = chunk * kWordsPerChunk + lane % kSharers * kHeld;
    if constexpr (kHeld == 2) {
      const Words2 two = *reinterpret_cast<const Words2*>(row + first * kLogitBytes);
      held.logits[0] = bits_to_float(two.x);
      held.logits[1] = bits_to_float(two.y);
    } else {
      held.logits[0] = bits_to_float(*reinterpret_cast<const u32*>(row + first * kLogitBytes));
    }
#pragma unroll
    for (int i = 0; i < kHeld; i++) held.experts[i] = first + i;
  }
}

// The experts of the COUNT best logits where no two of those that a wave's tokens hold are equal.
template <int COUNT>
ROUTER_INLINE void experts_of_different(const Held& held, const float* logits, i32* experts) {
#pragma unroll
  for (int k = 0; k < COUNT; k++) {
    experts[k] = -1;
#pragma unroll
    for (int i = 0; i < kHeld; i++) {
      experts[k] = held.logits[i] == logits[k] ? static_cast<i32>(held.experts[i]) : experts[k];
    }
  }
}

// The same where some may be equal: one after the other takes the lowest expert that is left.
template <int COUNT>
ROUTER_INLINE void experts_of_equal(Held held, const float* logits, u32 lane, i32* experts) {
  const u32 firstLane = thread_index() % kWaveSize - lane;
  const LaneMask lowerLanes = ((static_cast<LaneMask>(1) << lane) - 1) << firstLane;
#pragma unroll
  for (int k = 0; k < COUNT; k++) {
    int slot = -1;
#pragma unroll
    for (int i = kHeld - 1; i >= 0; i--) slot = held.logits[i] == logits[k] ? i : slot;
    const LaneMask holders = ballot(slot >= 0);
    const bool isOurs = slot >= 0 && (holders & lowerLanes) == 0;
    experts[k] = -1;
#pragma unroll
    for (int i = 0; i < kHeld; i++) {
      if (!isOurs || slot != i) continue;
      experts[k] = static_cast<i32>(held.experts[i]);
      // A NaN equals nothing.
      held.logits[i] = bits_to_float(0x7fffffffu);
    }
  }
}

// The COUNT best logits of the chosen chunks, the best first, in every lane, and what the lane holds of them: NaNs as -Inf.
template <int COUNT>
ROUTER_INLINE void best_of_chosen(const u8* row, u32 lane, u32 chosen, float* logits, Held& held) {
  hold_share<kKept>(row, lane, chosen, held);
  ValueKey keys[kHeld];
#pragma unroll
  for (int i = 0; i < kHeld; i++) {
    keys[i] = value_key(held.logits[i]);
    held.logits[i] = keys[i].logit;
  }
  ValueKey best[kKept];
  constexpr int kInLane = kKept < kHeld ? kKept : kHeld;
  select_best<kInLane, kHeld>(keys, best);
  merge_across_lanes<kLanes, kInLane, kKept>(best);
#pragma unroll
  for (int k = 0; k < COUNT; k++) logits[k] = best[k].logit;
}

// The COUNT best logits of a row in chunks, the best first, in every lane, and for each of them the expert in the lane
// that holds it, -1 in the others. False, in the whole wave, where they reach down to -Inf, which here a NaN equals too.
template <int COUNT>
ROUTER_INLINE bool best_of_chunks_by_value(const u8* row, u32* words, u32 lane, float* logits, i32* experts) {
  Held held;
  float lastChunk;
  const u32 reaching = best_chunks_by_value<kKept>(words, lane, lastChunk);
  best_of_chosen<COUNT>(row, lane, reaching, logits, held);
  bool isAnyEqual = count_bits(reaching) != kKept;
  // Every token has COUNT logits that reach the last: with no more of them in the whole wave, none has more.
  constexpr u32 kTokensPerWave = kWaveSize / kLanes;
  u32 logitsReaching = 0;
#pragma unroll
  for (int i = 0; i < kHeld; i++) logitsReaching += count_bits(ballot(held.logits[i] >= logits[COUNT - 1]));
#pragma unroll
  for (int k = 0; k + 1 < COUNT; k++) isAnyEqual = isAnyEqual || logits[k] == logits[k + 1];
  if (logitsReaching == COUNT * kTokensPerWave && !is_any_in_wave(isAnyEqual)) {
    experts_of_different<COUNT>(held, logits, experts);
    return true;
  }
  if (is_any_in_wave(count_bits(reaching) != kKept)) {
    // Read again, which spares holding the row in registers until here.
    load_row(row + first_expert(lane) * kLogitBytes, lane, words);
    const u32 chosen = lower_of_equal_chunks<kKept>(words, lane, reaching, lastChunk);
    best_of_chosen<COUNT>(row, lane, chosen, logits, held);
  }
  if (is_any_in_wave(logits[COUNT - 1] == -kInfinity)) return false;
  experts_of_equal<COUNT>(held, logits, lane, experts);
  return true;
}

// A lane's slots by the order of their logits, the best first and equal ones as they come, in 4 bits each.
ROUTER_INLINE u32 slots_by_order(const i32* orders) {
  static_assert(!kSearchesValues || kHasChunks || kSlots <= 8, "4 bits for each slot");
  u32 slots = 0;
#pragma unroll
  for (int slot = 0; slot < kSlots; slot++) {
    u32 before = 0;
#pragma unroll
    for (int other = 0; other < kSlots; other++) {
      if (other != slot) before += other < slot ? orders[other] <= orders[slot] : orders[other] < orders[slot];
    }
    slots |= static_cast<u32>(slot) << (4 * before);
  }
  return slots;
}

// The same of a row that the wave has read at once, always. Each round takes the best logit that is left in any lane, as
// take_best_of_wave does; where several lanes have it, the lowest gives its own. The type is a parameter so that there
// need be no wave_min.
template <int COUNT, class Order = i32>
ROUTER_INLINE void best_of_wave_by_value(const u32* words, u32 lane, float* logits, i32* experts) {
  constexpr int kInLane = kKept < kNextPowerOfTwo<kSlots> ? kKept : kNextPowerOfTwo<kSlots>;
  i32 orders[kSlots];
#pragma unroll
  for (int slot = 0; slot < kSlots; slot++) {
    // The order of a NaN would end the list.
    const i32 order = smaller(order_of_float(bits_to_float(words[slot])), kNoKey32 - 1);
    orders[slot] = is_in_row(lane, slot) ? order : kNoKey32;
  }
  Order list[kInLane];
  select_best<kInLane, kSlots>(orders, list);
  u32 slots = slots_by_order(orders);
  const LaneMask lowerLanes = (static_cast<LaneMask>(1) << lane) - 1;
#pragma unroll
  for (int k = 0; k < COUNT; k++) {
    const Order best = wave_min(list[0]);
    const LaneMask holders = ballot(list[0] == best);
    const bool isOurs = list[0] == best && (holders & lowerLanes) == 0;
    logits[k] = float_of_order(best);
    experts[k] = isOurs ? static_cast<i32>(first_expert(lane) + (slots & 0xf)) : -1;
#pragma unroll
    for (int i = 0; i < kInLane && i + k < COUNT; i++) {
      list[i] = isOurs ? (i + 1 < kInLane ? list[i + 1] : kNoKey32) : list[i];
    }
    slots = isOurs ? slots >> 4 : slots;
  }
}

// The COUNT best logits of a row, as best_of_chunks_by_value gives them. Needs every lane of the wave.
template <int COUNT>
ROUTER_INLINE bool best_by_value(const u8* row, u32* words, u32 lane, float* logits, i32* experts) {
  if constexpr (kHasChunks) {
    return best_of_chunks_by_value<COUNT>(row, words, lane, logits, experts);
  } else {
    best_of_wave_by_value<COUNT>(words, lane, logits, experts);
    return true;
  }
}

}  // namespace ROUTER_NAMESPACE
