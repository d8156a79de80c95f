// The gate projection, the router and the dispatch plan of a few tokens in one launch. Every block forms the logits of
// some experts; the last one routes the rows. The namespace is open from route_row.hip on.

#if ROUTER_PLAN
#define ROUTER_GATED_PLAN_PARAMETERS                                                               \
  , i32 *__restrict__ expertOffsets, i32 *__restrict__ sortedSlots, i32 *__restrict__ expertTiles, \
      u32 tileCapacity ROUTER_TILES_PARAMETER
#else
#define ROUTER_GATED_PLAN_PARAMETERS
#endif

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(ROUTER_THREADS)
    ROUTER_SYMBOL(const u8* hidden, const u8* gateWeight, const float* gateBias, float* logits, u64* words,
                  u32 rowBytes, u32 tokens, u32 blocks, float* __restrict__ weights, void* __restrict__ ids,
                  float routedScalingFactor, u32 rangeStart, u32 rangeEnd, i32* __restrict__ tokenExpertIndices,
                  const float* correctionBias, const u8* paddingMask,
                  const u32* rowCount ROUTER_GATED_PLAN_PARAMETERS) {
  const u32 thread = thread_index();
  const bool routes = gate_block() == blocks - 1;
  const u32 firstExpert = expert_of_team(gate_block(), thread / kGateTeam);
  const OwnLogit own = own_logit(gate_block(), 0, tokens, thread);
  // Weights and biases do not depend on the kernel before.
  const GateAhead ahead = load_gate_ahead(gateWeight, gateBias, firstExpert, own, thread);
#if ROUTER_PLAN
  if (routes) begin_plan();
#endif
  hidden = once_kernel_before_is_done(hidden);
  const u8* rows[kGateTokens];
  gate_rows(hidden, rowBytes, 0, tokens, thread, rows);
  sum_gate(gateWeight, firstExpert, ahead, rows, thread);
  // Not before: what the kernel after reads ahead would hold up the hidden states.
  let_kernel_after_begin();
  block_barrier();
  if (own.isThere) store_device_word(words + place_of_logit(own), marked_word(gate_logit(own, ahead.bias)));
  if (!routes) return;
  receive_logits(words, tokens, logits, thread);

  const u32 lane = thread % kLanes;
  const u32 token = thread / kLanes;
  // Every lane of a wave takes part in its exchanges: see the routing kernel.
  if (!kEndsWholeWaves || token < tokens) {
    const u32 row = kEndsWholeWaves ? token : smaller(token, tokens - 1);
    const u8* rowLogits = reinterpret_cast<const u8*>(logits + row * kExperts);
    route_row(rowLogits, thread, lane, token, row, weights, ids, tokens, routedScalingFactor, rangeStart, rangeEnd,
              tokenExpertIndices, correctionBias, paddingMask, rowCount);
  }
#if ROUTER_PLAN
  finish_plan(ids, tokens, nullptr, 1, {expertOffsets, sortedSlots, expertTiles, tileCapacity ROUTER_TILES_VALUE});
#endif
}

#undef ROUTER_GATED_PLAN_PARAMETERS
#undef block_index

}  // namespace ROUTER_NAMESPACE
