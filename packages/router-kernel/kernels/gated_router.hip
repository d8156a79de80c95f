// The gate projection, the router and the dispatch plan of a few tokens in one launch. Blocks form sums for the logits of
// some experts; the last one adds them up and routes the rows. The namespace is open from route_row.hip on.

static_assert(!kHasChunks, "a row is received once");

#if ROUTER_PLAN && ROUTER_EXPERT_TILES
// No expert of so few tokens has rows for a second tile, whatever a tile's height.
#define ROUTER_GATED_PLAN_PARAMETERS                                                               \
  , i32 *__restrict__ expertOffsets, i32 *__restrict__ sortedSlots, i32 *__restrict__ expertTiles, \
      u32 tileCapacity, u32
#elif ROUTER_PLAN
#define ROUTER_GATED_PLAN_PARAMETERS \
  , i32 *__restrict__ expertOffsets, i32 *__restrict__ sortedSlots, i32 *__restrict__ expertTiles, u32 tileCapacity
#else
#define ROUTER_GATED_PLAN_PARAMETERS
#endif

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(ROUTER_THREADS)
    ROUTER_SYMBOL(const u8* hidden, const u8* gateWeight, const float* gateBias, float* logits, u32* words,
                  u32 rowBytes, u32 tokens, u32 blocks, float* __restrict__ weights, void* __restrict__ ids,
                  float routedScalingFactor, u32 rangeStart, u32 rangeEnd, i32* __restrict__ tokenExpertIndices,
                  const float* correctionBias, const u8* paddingMask,
                  const u32* rowCount ROUTER_GATED_PLAN_PARAMETERS) {
  // Weights and biases do not depend on the kernel before.
  if (gate_block() != blocks - 1) {
    const u32 firstExpert = first_expert_of_group();
    const u32 partialSum = group_of_block() * kGateGroup + thread_index() % kGateGroup;
    const GateAhead ahead = load_gate_ahead(gateWeight, firstExpert, partialSum);
    hidden = once_kernel_before_is_done(hidden);
    float sum;
    if constexpr (kSharesHidden) {
      sum = sum_of_group(gateWeight, firstExpert, ahead, share_hidden(hidden, rowBytes, tokens), partialSum);
    } else {
      const HiddenRows rows = hidden_rows(hidden, rowBytes, first_token_of_group(), tokens);
      sum = sum_of_group(gateWeight, firstExpert, ahead, rows, partialSum);
    }
    // Not before: what the kernel after reads ahead would hold up the hidden states. Many winners take longer than it has to
    // get ready.
    if constexpr (kTopK <= 4) let_kernel_after_begin();
    hand_over_sum(words, sum, tokens);
    if constexpr (kTopK > 4) let_kernel_after_begin();
    return;
  }

  let_kernel_after_begin();
  const u32 thread = thread_index();
  const u32 lane = thread % kLanes;
  const u32 token = thread / kLanes;
  const RowBiases biases = load_row_biases(gateBias, lane);
#if ROUTER_PLAN
  begin_plan();
  block_barrier();
#endif
  // Where there is time until the kernel before is done, rows are routed once for nothing: this block comes to another
  // multiprocessor each time, which would have to fetch every line of the code when all others wait for it.
#pragma unroll 1
  for (bool isRehearsal = kMayBeginEarly;; isRehearsal = false) {
    float row[kSlots];
#pragma unroll
    for (int slot = 0; slot < kSlots; slot++) row[slot] = 0.0f;
    if (!isRehearsal) {
      once_kernel_before_is_done(hidden);
      receive_row(words, token, tokens, lane, biases, row);
      if (token < tokens) store_row(logits + token * kExperts, lane, row);
      // Those that rank by choice scores read logits of their winners.
      if constexpr (kRanksByChoice) block_barrier_of_memory();
    }
    // Every lane of a wave takes part in its exchanges: see the routing kernel.
    if (!kEndsWholeWaves || token < tokens) {
      u32 rowWords[kWords];
#pragma unroll
      for (int slot = 0; slot < kSlots; slot++) rowWords[slot] = float_to_bits(row[slot]);
      const u32 source = smaller(token, tokens - 1);
      Words4* unused = block_units();
      route_loaded_row(reinterpret_cast<const u8*>(logits + source * kExperts), rowWords, thread, lane, token, source,
                       isRehearsal ? reinterpret_cast<float*>(unused) : weights, isRehearsal ? unused + kIdsUnit : ids,
                       tokens, routedScalingFactor, rangeStart, rangeEnd,
                       isRehearsal ? reinterpret_cast<i32*>(unused + kIndicesUnit) : tokenExpertIndices, correctionBias,
                       isRehearsal ? nullptr : paddingMask, isRehearsal ? nullptr : rowCount);
    }
#if ROUTER_PLAN
    Words4* unused = block_units();
    finish_plan(tokens, {isRehearsal ? reinterpret_cast<i32*>(unused + kOffsetsUnit) : expertOffsets,
                         isRehearsal ? reinterpret_cast<i32*>(unused + kSlotsUnit) : sortedSlots,
                         isRehearsal ? reinterpret_cast<i32*>(unused + kTilesUnit) : expertTiles, tileCapacity});
#endif
    if (!isRehearsal) break;
#if ROUTER_PLAN
    // The winners that come next take the place of those that the plan was made of.
    block_barrier();
#endif
  }
}

#undef ROUTER_GATED_PLAN_PARAMETERS
#undef block_index

}  // namespace ROUTER_NAMESPACE
