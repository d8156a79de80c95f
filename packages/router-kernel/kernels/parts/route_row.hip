// The fused router: from a row of logits to the K best experts and their weights, in one pass over the row.
//
// ROUTER_LANES lanes share a token. Each sorts the keys of its part of the row, keeps the best, and a butterfly merges
// the sorted lists; every lane then knows the winners' logits and experts, and the first one stores weights and ids.
// Some forms search by value: every lane learns the winners' logits alone, and the lanes that hold the winners store
// their ids; keys decide where numbers do not. No shared memory and no barrier, but for expert groups that do
// not fit the lanes. Blocks hold whole tokens, one after the other.

namespace ROUTER_NAMESPACE {

constexpr int kTokensPerBlock = ROUTER_THREADS / kLanes;
// A block may take several times as many tokens, one after the other.
constexpr int kTurns = ROUTER_BLOCK_TOKENS / kTokensPerBlock;
static_assert(kTurns * kTokensPerBlock == ROUTER_BLOCK_TOKENS, "a block takes its tokens in whole turns");
static_assert(!kHasChunks || (!kRanksByChoice && kLoadBytes == 16 && !kHasPartialLoads && kKept <= kLoadsPerRow &&
                              (kSearchesChunks || kSearchesValues)),
              "chunks need whole loads and a share of the best chunks for each lane");
// With more winners than this, moving lists up costs more than merging them.
constexpr bool kReducesOverWave = kHasWaveReduction && kLanes == kWaveSize && kTopK <= 16;

// Whether a wave serves one token, so that it can end without one. Groups may need every wave of a block at a barrier.
constexpr bool kEndsWholeWaves = kLanes == kWaveSize && kGroups == 1;

// Both loads are asked for at once, and before the search for the winners, which takes longer than they do.
ROUTER_INLINE bool is_padding(const u8* mask, const u32* rowCount, u32 row) {
#if ROUTER_PADDING
  const u32 rows = rowCount != nullptr ? *rowCount : ~0u;
  const u32 isMasked = mask != nullptr ? mask[row] : 0;
  return row >= rows || isMasked != 0;
#else
  return false;
#endif
}

// The logit of an expert that won by its choice score: -Inf for a NaN.
ROUTER_INLINE float reload_logit(const void* row, u32 expert) {
  float logit;
  if constexpr (kDtype == Dtype::f32) {
    logit = static_cast<const float*>(row)[expert];
  } else {
    logit = widen<kDtype>(static_cast<const u16*>(row)[expert]);
  }
  return logit != logit ? -kInfinity : logit;
}

// The K best experts of a row, the best first, and their logits, in every lane; what the ranking knows of the row's
// softmax is returned. Needs every lane of the wave.
ROUTER_INLINE RowSums best_by_key(const u8* row, const u32* words, const float* correctionBias, u32 lane,
                                  u32 tokenInBlock, float* logits, i32* experts) {
  Key keys[kSlots];
  RowSums sums = {0.0f, 0.0f};
  if constexpr (kRanksByChoice) {
    sums = keys_of_choices(words, correctionBias, lane, tokenInBlock, keys);
  } else if constexpr (kSearchesChunks) {
    keys_of_chunks(words, keys);
  } else {
    keys_of_logits(words, lane, keys);
  }
  Key best[kKept];
  select_best<kKeptInLane, kCandidates>(keys, best);
#pragma unroll
  for (int i = 0; i < kKeptInLane; i++) best[i] = with_lane(best[i], lane);
  if constexpr (kReducesOverWave) {
    Key list[kKeptInLane];
#pragma unroll
    for (int i = 0; i < kKeptInLane; i++) list[i] = best[i];
    take_best_of_wave<kKeptInLane, kTopK>(list, best);
  } else {
    merge_across_lanes<kLanes, kKeptInLane, kKept>(best);
  }
  if constexpr (kSearchesChunks) best_of_chunks<kKept>(row, lane, best);
#pragma unroll
  for (int k = 0; k < kTopK; k++) {
    experts[k] = expert_of(best[k]);
    logits[k] = kRanksByChoice ? reload_logit(row, experts[k]) : logit_of_key<kDtype>(best[k]);
  }
  return sums;
}

#if ROUTER_FIRST_LANE_STORES_IDS

// Experts that one lane of the wave knows each, and the others have as -1. The type is a parameter so that there need be no
// wave_min.
template <class Order = u32>
ROUTER_INLINE void tell_every_lane(i32* experts) {
#pragma unroll
  for (int k = 0; k < kTopK; k++) experts[k] = static_cast<i32>(wave_min(static_cast<Order>(experts[k])));
}

#endif

// By value: finds the COUNT best logits of a row, the best first, in every lane, and lets the lanes that hold them store
// their ids. False, and nothing stored, where keys have to decide. Needs every lane of the wave.
template <int COUNT>
ROUTER_INLINE bool store_ids_by_value(const u8* row, u32* words, u32 lane, void* ids, u32 token, u32 tokens,
                                      bool isPadding, float* logits) {
  i32 experts[COUNT];
  if (!best_by_value<COUNT>(row, words, lane, logits, experts)) return false;
  if (token >= tokens) return true;
#pragma unroll
  for (int k = 0; k < COUNT; k++) {
    if (experts[k] < 0) continue;
    const i32 expert = isPadding ? -1 : experts[k];
    store_id(ids, static_cast<u64>(token) * COUNT + k, expert);
    note_winner(token, k, expert);
  }
  return true;
}

// Routes one row, of one token, of which a lane has its part in `words`. The first of the token's lanes writes the results.
ROUTER_INLINE void route_loaded_row(const u8* rowLogits, u32* words, u32 thread, u32 lane, u32 token, u32 row,
                                    float* weights, void* ids, u32 tokens, float routedScalingFactor, u32 rangeStart,
                                    u32 rangeEnd, i32* tokenExpertIndices, const float* correctionBias,
                                    const u8* paddingMask, const u32* rowCount) {
  const bool isPadding = is_padding(paddingMask, rowCount, row);
  i32 winners[kTopK];
  float winnerLogits[kTopK];
  RowSums sums = {0.0f, 0.0f};
  bool areIdsStored = false;
#if ROUTER_FIRST_LANE_STORES_IDS
  bool areKnown = false;
  if constexpr (kSearchesValues) {
    areKnown = best_by_value<kTopK>(rowLogits, words, lane, winnerLogits, winners);
    tell_every_lane(winners);
  }
  if (!areKnown) {
#else
  if constexpr (kSearchesValues) {
    areIdsStored = store_ids_by_value<kTopK>(rowLogits, words, lane, ids, token, tokens, isPadding, winnerLogits);
  }
  if (!areIdsStored) {
#endif
    // Read again, which spares holding the row in registers until here.
    if constexpr (kSearchesValues && kHasChunks) load_row(rowLogits + first_expert(lane) * kLogitBytes, lane, words);
    sums = best_by_key(rowLogits, words, correctionBias, lane, thread / kLanes, winnerLogits, winners);
  }
  if constexpr (ROUTER_EARLY_TRIGGER == 2) let_kernel_after_begin();
  float bestLogit = winnerLogits[0];
  if constexpr (kRanksByChoice) {
#pragma unroll
    for (int k = 1; k < kTopK; k++) bestLogit = larger(bestLogit, winnerLogits[k]);
  } else {
    sums = sums_of_row(words, lane, bestLogit);
  }

  if (lane != 0 || token >= tokens) return;
  float winnerWeights[kTopK];
  weights_of_winners(winnerLogits, bestLogit, sums, routedScalingFactor, winnerWeights);
#pragma unroll
  for (int k = 0; k < kTopK; k++) {
    bool isDropped = isPadding;
#if ROUTER_EXPERT_RANGE
    isDropped = isDropped || static_cast<u32>(winners[k]) < rangeStart || static_cast<u32>(winners[k]) >= rangeEnd;
#endif
    winners[k] = isDropped ? -1 : winners[k];
    if constexpr (kMakesPlan) {
      if (!areIdsStored) note_winner(token, k, winners[k]);
    }
    winnerWeights[k] = isDropped ? 0.0f : winnerWeights[k];
  }
  store_weights(weights, row, winnerWeights);
  if (!areIdsStored) store_ids(ids, row, winners);
#if ROUTER_TOKEN_EXPERT_INDICES
  store_token_expert_indices(tokenExpertIndices, row, tokens);
#endif
}

// The same of a row in device memory.
ROUTER_INLINE void route_row(const u8* rowLogits, u32 thread, u32 lane, u32 token, u32 row, float* weights, void* ids,
                             u32 tokens, float routedScalingFactor, u32 rangeStart, u32 rangeEnd,
                             i32* tokenExpertIndices, const float* correctionBias, const u8* paddingMask,
                             const u32* rowCount) {
  u32 words[kWords];
  load_row(once_kernel_before_is_done(rowLogits + first_expert(lane) * kLogitBytes), lane, words);
  if constexpr (ROUTER_EARLY_TRIGGER == 1) let_kernel_after_begin();
  route_loaded_row(rowLogits, words, thread, lane, token, row, weights, ids, tokens, routedScalingFactor, rangeStart,
                   rangeEnd, tokenExpertIndices, correctionBias, paddingMask, rowCount);
}
