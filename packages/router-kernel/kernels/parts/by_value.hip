// f32 rows by the logits' values alone, on NVIDIA: a comparison moves one register with two instructions, where a key
// with its expert takes two registers and six. Every lane learns the K best values; the lanes that hold them know the
// experts, and store them. That is not certain where values are equal, and then keys decide.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA

// A row of the whole wave is searched at once; otherwise chunks of one load are ranked first, and a word has a bit for
// each. Where ids outside of a range are dropped, one lane has to know all of a token's.
constexpr bool kIsOneLoadOfWave = kHasWaveReduction && kLanes == kWaveSize && kLoads == 1;
constexpr bool kSearchesValues = kDtype == Dtype::f32 && !kRanksByChoice && !ROUTER_EXPERT_RANGE && kTopK <= 8 &&
                                 (kHasChunks ? kLoadsPerRow <= 32 : kIsOneLoadOfWave);

// A key that is a logit and nothing else; -Inf for a NaN. As with other keys the smaller is the better.
struct ValueKey {
  float logit;
};
template <>
constexpr ValueKey kNoKey<ValueKey> = {-kInfinity};

ROUTER_INLINE ValueKey value_key(float logit) { return {fmaxf(logit, -kInfinity)}; }
ROUTER_INLINE ValueKey smaller(ValueKey a, ValueKey b) { return {fmaxf(a.logit, b.logit)}; }
ROUTER_INLINE ValueKey larger(ValueKey a, ValueKey b) { return {fminf(a.logit, b.logit)}; }

template <int STEP>
ROUTER_INLINE ValueKey from_other_half(ValueKey key) {
  return {from_other_half<STEP>(key.logit)};
}

// What a lane holds of a row when the best values are known: some experts and their logits. A logit is a word here.
static_assert(!kSearchesValues || !kHasChunks || kKept * kWordsPerChunk % kLanes == 0, "every lane holds as much");
constexpr int kHeld = kHasChunks ? (kKept * kWordsPerChunk + kLanes - 1) / kLanes : kSlots;
struct Held {
  float logits[kHeld];
  u32 experts[kHeld];
};

// Counts, over the wave, the lanes where a condition holds.
ROUTER_INLINE int wave_count(bool condition) { return __popc(__ballot_sync(0xffffffffu, condition)); }

template <int LANES, int STEP = 1>
ROUTER_INLINE u32 token_or(u32 bits) {
  if constexpr (STEP >= LANES) {
    return bits;
  } else {
    return token_or<LANES, STEP * 2>(bits | static_cast<u32>(from_other_half<STEP>(static_cast<i32>(bits))));
  }
}

// The best chunks of the row, a bit each, in every lane: as many as are kept, or more where several equal the last.
ROUTER_INLINE u32 best_chunks_by_value(const u32* words, u32 lane) {
  ValueKey keys[kLoads];
#pragma unroll
  for (int load = 0; load < kLoads; load++) {
    const u32* chunk = words + load * kWordsPerChunk;
    keys[load] = value_key(bits_to_float(
        larger_numbers(larger_numbers(chunk[0], chunk[1]), larger_numbers(chunk[2], chunk[3]))));
  }
  ValueKey best[kKept];
  constexpr int kInLane = kKept < kNextPowerOfTwo<kLoads> ? kKept : kNextPowerOfTwo<kLoads>;
  select_best<kInLane, kLoads>(keys, best);
  merge_across_lanes<kLanes, kInLane, kKept>(best);
  const float last = best[kKept - 1].logit;
  u32 chosen = 0;
  if constexpr (kLanes >= 8) {
    // A vote brings the bits of every token of the wave at once.
    constexpr u32 kOneToken = 0xffffffffu >> (kWaveSize - kLanes);
    const u32 firstLane = thread_index() % kWaveSize - lane;
#pragma unroll
    for (int load = 0; load < kLoads; load++) {
      const u32 votes = __ballot_sync(0xffffffffu, keys[load].logit >= last);
      chosen |= ((votes >> firstLane) & kOneToken) << (load * kLanes);
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

// The number of the lowest bit that is left after SKIPPED bits of `bits` are taken away.
ROUTER_INLINE u32 chunk_after(u32 bits, u32 skipped, u32 most) {
#pragma unroll
  for (u32 i = 0; i < most; i++) {
    if (i < skipped) bits &= bits - 1;
  }
  return static_cast<u32>(__ffs(static_cast<i32>(bits)) - 1);
}

// A lane's share of the chosen chunks, read again: part of a chunk, or several.
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
    constexpr int kSharers = kLanes / kKept;
    const u32 first =
        chunk_after(chosen, lane / kSharers, kKept - 1) * kWordsPerChunk + lane % kSharers * kHeld;
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

// The K best logits of a row, the best first, in every lane, and what the lane holds. False, in the whole wave, where
// equal logits leave open which experts they belong to.
ROUTER_INLINE bool best_by_value(const u8* row, const u32* words, u32 lane, float* logits, Held& held) {
  constexpr int kTokensPerWave = kWaveSize / kLanes;
  bool isOpen = false;
  if constexpr (kHasChunks) {
    const u32 chosen = best_chunks_by_value(words, lane);
    isOpen = __popc(chosen) != kKept;
    hold_share(row, lane, chosen, held);
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
    for (int k = 0; k < kTopK; k++) logits[k] = best[k].logit;
  } else {
    constexpr int kInLane = kKept < kNextPowerOfTwo<kSlots> ? kKept : kNextPowerOfTwo<kSlots>;
    i32 keys[kSlots];
    i32 sorted[kInLane];
    i32 best[kTopK];
#pragma unroll
    for (int slot = 0; slot < kSlots; slot++) {
      // A NaN equals no winner.
      held.logits[slot] = bits_to_float(is_in_row(lane, slot) ? words[slot] : 0x7fffffffu);
      held.experts[slot] = first_expert(lane) + expert_offset(slot);
      keys[slot] = order_of_float(held.logits[slot]);
    }
    select_best<kInLane, kSlots>(keys, sorted);
    take_best_of_wave<kInLane, kTopK>(sorted, best);
#pragma unroll
    for (int k = 0; k < kTopK; k++) logits[k] = float_of_order(best[k]);
  }
  // Every token has K logits that reach the last: with no more of them in the whole wave, none has more.
  int reaching = 0;
#pragma unroll
  for (int i = 0; i < kHeld; i++) reaching += wave_count(held.logits[i] >= logits[kTopK - 1]);
#pragma unroll
  for (int k = 0; k + 1 < kTopK; k++) isOpen = isOpen || logits[k] == logits[k + 1];
  return reaching == kTopK * kTokensPerWave && !__any_sync(0xffffffffu, isOpen);
}

// The expert of a logit among those that a lane holds; -1 where it is another lane's.
ROUTER_INLINE i32 expert_held(const Held& held, float logit) {
  i32 expert = -1;
#pragma unroll
  for (int i = 0; i < kHeld; i++) expert = held.logits[i] == logit ? static_cast<i32>(held.experts[i]) : expert;
  return expert;
}

#else

constexpr bool kSearchesValues = false;
struct Held {};
ROUTER_INLINE bool best_by_value(const u8*, const u32*, u32, float*, Held&) { return false; }
ROUTER_INLINE i32 expert_held(const Held&, float) { return -1; }

#endif

}  // namespace ROUTER_NAMESPACE
