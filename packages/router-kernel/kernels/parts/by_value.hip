// f32 rows by the logits' values alone: a comparison moves one register with two instructions, where a key with its
// expert takes two registers and six. Every lane learns the K best values; the lanes that hold them know the experts,
// and store them. Where equal values leave open which experts they belong to, keys decide after all.
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

// What a lane holds of a row once the best values are known: some experts and their logits. A logit is a word here.
static_assert(!kSearchesValues || !kHasChunks || kKept * kWordsPerChunk % kLanes == 0, "every lane holds as much");
constexpr int kHeld = kHasChunks ? (kKept * kWordsPerChunk + kLanes - 1) / kLanes : kSlots;
struct Held {
  float logits[kHeld];
  u32 experts[kHeld];
};

// The functions below are templates of the number of winners or of chunks, so that forms which search by key do without
// them.

// The COUNT best chunks of the row, a bit each, in every lane; more than COUNT where several equal the last.
template <int COUNT>
ROUTER_INLINE u32 best_chunks_by_value(const u32* words, u32 lane) {
  ValueKey keys[kLoads];
#pragma unroll
  for (int load = 0; load < kLoads; load++) keys[load] = value_key(largest_of_chunk(words + load * kWordsPerChunk));
  ValueKey best[COUNT];
  constexpr int kInLane = COUNT < kNextPowerOfTwo<kLoads> ? COUNT : kNextPowerOfTwo<kLoads>;
  select_best<kInLane, kLoads>(keys, best);
  merge_across_lanes<kLanes, kInLane, COUNT>(best);
  const float last = best[COUNT - 1].logit;
  u32 chosen = 0;
  if constexpr (kLanes >= 8) {
    // A vote brings the bits of every token of the wave at once.
    constexpr u32 kOneToken = 0xffffffffu >> (32 - kLanes);
    const u32 firstLane = thread_index() % kWaveSize - lane;
#pragma unroll
    for (int load = 0; load < kLoads; load++) {
      const LaneMask votes = ballot(keys[load].logit >= last);
      chosen |= (static_cast<u32>(votes >> firstLane) & kOneToken) << (load * kLanes);
    }
    return chosen;
  } else {
#pragma unroll
    for (int load = 0; load < kLoads; load++) {
      if (keys[load].logit >= last) chosen |= 1u << (load * kLanes);
    }
    return token_or<kLanes>(chosen << lane);
  }
}

// The number of the lowest bit that is left after the `skipped` lowest of `bits` are taken away: `most` or fewer, which
// unrolling has to know.
ROUTER_INLINE u32 chunk_after(u32 bits, u32 skipped, u32 most) {
#pragma unroll
  for (u32 i = 0; i < most; i++) {
    if (i < skipped) bits &= bits - 1;
  }
  return lowest_bit(bits);
}

// A lane's share of COUNT chosen chunks, read again: part of a chunk, or several.
template <int COUNT>
ROUTER_INLINE void hold_share(const u8* row, u32 lane, u32 chosen, Held& held) {
  if constexpr (kHeld >= kWordsPerChunk) {
    constexpr int kChunks = kHeld / kWordsPerChunk;
#pragma unroll
    for (int i = 0; i < kChunks; i++) {
      const u32 first = chunk_after(chosen, lane + i * kLanes, (i + 1) * kLanes - 1) * kWordsPerChunk;
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
    const u32 first = chunk_after(chosen, lane / kSharers, COUNT - 1) * kWordsPerChunk + lane % kSharers * kHeld;
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

// The COUNT best logits of a row in chunks, the best first, in every lane, and what the lane holds. False where equal
// logits leave open which chunks they belong to.
template <int COUNT>
ROUTER_INLINE bool best_of_chunks_by_value(const u8* row, const u32* words, u32 lane, float* logits, Held& held) {
  const u32 chosen = best_chunks_by_value<kKept>(words, lane);
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
  return count_bits(chosen) == kKept;
}

// The COUNT best logits of a row that the wave has read at once, the best first, in every lane, and what the lane holds.
template <int COUNT>
ROUTER_INLINE void best_of_wave_by_value(const u32* words, u32 lane, float* logits, Held& held) {
  constexpr int kInLane = kKept < kNextPowerOfTwo<kSlots> ? kKept : kNextPowerOfTwo<kSlots>;
  i32 orders[kSlots];
  i32 sorted[kInLane];
  i32 best[COUNT];
#pragma unroll
  for (int slot = 0; slot < kSlots; slot++) {
    // A NaN equals no winner.
    held.logits[slot] = bits_to_float(is_in_row(lane, slot) ? words[slot] : 0x7fffffffu);
    held.experts[slot] = first_expert(lane) + expert_offset(slot);
    orders[slot] = order_of_float(held.logits[slot]);
  }
  select_best<kInLane, kSlots>(orders, sorted);
  take_best_of_wave<kInLane, COUNT>(sorted, best);
#pragma unroll
  for (int k = 0; k < COUNT; k++) logits[k] = float_of_order(best[k]);
}

// The COUNT best logits of a row, the best first, in every lane, and what the lane holds. False, in the whole wave,
// where equal logits leave open which experts they belong to.
template <int COUNT>
ROUTER_INLINE bool best_by_value(const u8* row, const u32* words, u32 lane, float* logits, Held& held) {
  bool isOpen = false;
  if constexpr (kHasChunks) {
    isOpen = !best_of_chunks_by_value<COUNT>(row, words, lane, logits, held);
  } else {
    best_of_wave_by_value<COUNT>(words, lane, logits, held);
  }
  // Every token has COUNT logits that reach the last: with no more of them in the whole wave, none has more.
  constexpr u32 kTokensPerWave = kWaveSize / kLanes;
  u32 reaching = 0;
#pragma unroll
  for (int i = 0; i < kHeld; i++) reaching += count_bits(ballot(held.logits[i] >= logits[COUNT - 1]));
#pragma unroll
  for (int k = 0; k + 1 < COUNT; k++) isOpen = isOpen || logits[k] == logits[k + 1];
  return reaching == COUNT * kTokensPerWave && !is_any_in_wave(isOpen);
}

// The expert of a logit among those that a lane holds; -1 where it is another lane's.
ROUTER_INLINE i32 expert_held(const Held& held, float logit) {
  i32 expert = -1;
#pragma unroll
  for (int i = 0; i < kHeld; i++) expert = held.logits[i] == logit ? static_cast<i32>(held.experts[i]) : expert;
  return expert;
}

}  // namespace ROUTER_NAMESPACE
