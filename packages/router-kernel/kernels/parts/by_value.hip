// f32 rows in chunks by the logits' values alone, on NVIDIA: a comparison moves one register with two instructions,
// where a key with its expert takes two registers and six. Which chunks and experts the best values belong to is found
// afterwards, by comparing with them. That is not certain where values are equal, and then keys decide.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA
// A word has a bit for each chunk of a row, and 7 bits for an expert.
constexpr bool kSearchesValues = kSearchesChunks && kDtype == Dtype::f32 && kLoadsPerRow <= 32 && kExperts <= 128;

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

template <int LANES, int STEP = 1>
ROUTER_INLINE u32 token_or(u32 bits) {
  if constexpr (STEP >= LANES) {
    return bits;
  } else {
    return token_or<LANES, STEP * 2>(bits | static_cast<u32>(from_other_half<STEP>(static_cast<i32>(bits))));
  }
}

template <int LANES, int STEP = 1>
ROUTER_INLINE i32 token_count(i32 count) {
  if constexpr (STEP >= LANES) {
    return count;
  } else {
    return token_count<LANES, STEP * 2>(count + from_other_half<STEP>(count));
  }
}

// The COUNT best chunks of the row, a bit each: more of them where several equal the last. In every lane.
template <int COUNT>
ROUTER_INLINE u32 best_chunks_by_value(const u32* words, u32 lane) {
  ValueKey keys[kLoads];
#pragma unroll
  for (int load = 0; load < kLoads; load++) {
    const u32* chunk = words + load * kWordsPerChunk;
    keys[load] = value_key(bits_to_float(
        larger_numbers(larger_numbers(chunk[0], chunk[1]), larger_numbers(chunk[2], chunk[3]))));
  }
  ValueKey best[COUNT];
  select_best<kKeptInLane, kLoads>(keys, best);
  merge_across_lanes<kLanes, kKeptInLane, COUNT>(best);
  u32 chosen = 0;
#pragma unroll
  for (int load = 0; load < kLoads; load++) {
    if (keys[load].logit >= best[COUNT - 1].logit) chosen |= 1u << (load * kLanes);
  }
  return token_or<kLanes>(chosen << lane);
}

// The COUNT best experts, the best first, and their logits, in every lane. False where equal logits leave open which they
// are; the same in every lane of the wave.
template <int COUNT>
ROUTER_INLINE bool best_by_value(const u8* row, const u32* words, u32 lane, float* logits, i32* experts) {
  constexpr int kShare = COUNT / kLanes;
  constexpr int kWinnerWords = (COUNT + 3) / 4;
  const u32 chosen = best_chunks_by_value<COUNT>(words, lane);
  bool isOpen = __popc(chosen) != COUNT;

  // This lane's share: chunk number `lane` of the chosen, and each kLanes further.
  u32 rest = chosen;
#pragma unroll
  for (u32 other = 0; other + 1 < kLanes; other++) {
    if (other < lane) rest &= rest - 1;
  }
  u32 first[kShare];
  ValueKey keys[kShare * kChunkWidth];
#pragma unroll
  for (int i = 0; i < kShare; i++) {
    first[i] = static_cast<u32>(__ffs(static_cast<i32>(rest)) - 1) * kChunkWidth;
#pragma unroll
    for (int other = 0; other < kLanes; other++) rest &= rest - 1;
    const Words4 chunk = *reinterpret_cast<const Words4*>(row + first[i] * kLogitBytes);
    const u32 four[kChunkWidth] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
    for (int j = 0; j < kChunkWidth; j++) keys[i * kChunkWidth + j] = value_key(bits_to_float(four[j]));
  }
  ValueKey best[COUNT];
  select_best<COUNT, kShare * kChunkWidth>(keys, best);
  merge_across_lanes<kLanes, COUNT, COUNT>(best);

  // A byte for each winner: in the lane that has it the expert, elsewhere 0.
  u32 winners[kWinnerWords] = {};
  i32 reaching = 0;
#pragma unroll
  for (int i = 0; i < kShare; i++) {
    u32 found[kWinnerWords] = {};
#pragma unroll
    for (int j = 0; j < kChunkWidth; j++) {
      const float logit = keys[i * kChunkWidth + j].logit;
      if (logit >= best[COUNT - 1].logit) reaching++;
#pragma unroll
      for (int k = 0; k < COUNT; k++) {
        if (logit == best[k].logit) found[k / 4] |= (0x80u | j) << (k % 4 * 8);
      }
    }
#pragma unroll
    for (int word = 0; word < kWinnerWords; word++) {
      winners[word] |= (found[word] & 0x7f7f7f7fu) + ((found[word] >> 7) & 0x01010101u) * first[i];
    }
  }
  isOpen = isOpen || token_count<kLanes>(reaching) != COUNT;
#pragma unroll
  for (int k = 0; k + 1 < COUNT; k++) isOpen = isOpen || best[k].logit == best[k + 1].logit;
#pragma unroll
  for (int word = 0; word < kWinnerWords; word++) winners[word] = token_or<kLanes>(winners[word]);
#pragma unroll
  for (int k = 0; k < kTopK; k++) {
    logits[k] = best[k].logit;
    experts[k] = static_cast<i32>((winners[k / 4] >> (k % 4 * 8)) & 0x7fu);
  }
  return !__any_sync(0xffffffffu, isOpen);
}
#else
constexpr bool kSearchesValues = false;
template <int COUNT>
ROUTER_INLINE bool best_by_value(const u8*, const u32*, u32, float*, i32*) {
  return false;
}
#endif

}  // namespace ROUTER_NAMESPACE
