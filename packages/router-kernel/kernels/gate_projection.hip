// The gate projection by itself, for more tokens than the fused kernel takes: the same sums in the same order, a tile of
// experts and tokens a block. The routing kernel follows it.

namespace ROUTER_NAMESPACE {

// Each team has all groups of its experts.
constexpr u32 kGateTeams = ROUTER_THREADS / kGatePartialSums;
static_assert(kGateTeams * kGatePartialSums == ROUTER_THREADS, "a block holds whole teams");
// All logits of a block are stored by its first wave.
constexpr int kBlockLogits = kGateTeams * kGateSums;
static_assert(kBlockLogits <= kWaveSize, "each logit of a block has a lane that stores it");

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(ROUTER_THREADS)
    ROUTER_SYMBOL(const u8* hidden, const u8* gateWeight, const float* gateBias, float* logits, u32 rowBytes,
                  u32 tokens, u32 expertBlocks) {
  __shared__ float groupSums[kGateTeams][kGateSums][kGateGroups];
  // Nothing is __restrict__: loads of memory that is known not to change may be moved up past the wait.
  const u32 thread = thread_index();
  const u32 team = thread / kGatePartialSums;
  const u32 lane = thread % kGatePartialSums;
  // Blocks of the same tokens follow each other, and find their rows in the cache.
  const u32 firstExpert = block_index() % expertBlocks * kGateTeams * kGateExperts;
  const u32 firstToken = block_index() / expertBlocks * kGateTokens;
  const u32 ownTeam = thread / kGateSums;
  const u32 ownSum = thread % kGateSums;
  const u32 expert = firstExpert + ownTeam * kGateExperts + ownSum / kGateTokens;
  const u32 token = firstToken + ownSum % kGateTokens;
  const bool isStored = thread < kBlockLogits && expert < ROUTER_EXPERTS && token < tokens;
  const float bias = isStored && gateBias != nullptr ? gateBias[expert] : -0.0f;
  const GateAhead ahead = load_gate_ahead(gateWeight, firstExpert + team * kGateExperts, lane);
  hidden = once_kernel_before_is_done(hidden);
  const HiddenRows rows = hidden_rows(hidden, rowBytes, firstToken, tokens);
  const float sum = sum_of_group(gateWeight, firstExpert + team * kGateExperts, ahead, rows, lane);
  let_kernel_after_begin();
  if (lane % kGateGroup < kGateSums) groupSums[team][lane % kGateGroup][lane / kGateGroup] = sum;
  block_barrier();
  if (isStored) {
    logits[static_cast<u64>(token) * ROUTER_EXPERTS + expert] = logit_of_groups(groupSums[ownTeam][ownSum], bias);
  }
}

}  // namespace ROUTER_NAMESPACE
