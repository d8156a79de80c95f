// The gate projection by itself, for more tokens than the fused kernel takes: the same sums in the same order, a tile of
// experts and tokens a block. The routing kernel follows it.

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(ROUTER_THREADS)
    ROUTER_SYMBOL(const u8* hidden, const u8* gateWeight, const float* gateBias, float* logits, u32 rowBytes,
                  u32 tokens, u32 expertBlocks) {
  // Nothing is __restrict__: loads of memory that is known not to change may be moved up past the wait.
  const u32 thread = thread_index();
  // Blocks of the same tokens follow each other, and find their rows in the cache.
  const u32 block = block_index() % expertBlocks;
  const u32 firstToken = block_index() / expertBlocks * kTileTokens;
  const u32 firstExpert = expert_of_team(block, thread / kGateTeam);
  const OwnLogit own = own_logit(block, firstToken, tokens, thread);
  const GateAhead ahead = load_gate_ahead(gateWeight, gateBias, firstExpert, own, thread);
  hidden = once_kernel_before_is_done(hidden);
  const u8* rows[kGateTokens];
  gate_rows(hidden, rowBytes, firstToken, tokens, thread, rows);
  sum_gate(gateWeight, firstExpert, ahead, rows, thread);
  let_kernel_after_begin();
  block_barrier();
  if (own.isThere) logits[place_of_logit(own)] = gate_logit(own, ahead.bias);
}

}  // namespace ROUTER_NAMESPACE
