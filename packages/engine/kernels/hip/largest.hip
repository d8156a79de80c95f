// The id of the largest logit of each wanted row, the lowest of equal ones; -1 where none is a number. Ids at and past
// `candidates` are never chosen: a vocabulary may be padded. A block a row; the logits are those of a launch of
// head.hip.

namespace ROUTER_NAMESPACE {

constexpr i64 kNoChoice = -0x7fffffffffffffffLL - 1;

template <int STEP = 1>
ROUTER_INLINE i64 team_most(i64 key) {
  if constexpr (STEP >= kTeam) {
    return key;
  } else {
    return team_most<STEP * 2>(larger(key, from_other_half<STEP>(key)));
  }
}

// Orders by value, then by falling id. Both zeros are equal.
ROUTER_INLINE i64 choice_key(float value, u32 id) {
  const i32 bits = value == 0.0f ? 0 : static_cast<i32>(float_to_bits(value));
  const i32 order = bits ^ ((bits >> 31) & 0x7fffffff);
  return static_cast<i64>(static_cast<u64>(static_cast<u32>(order)) << 32 | (0xffffffffu - id));
}

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    choose_largest(const u8* step, const float* logits, i32* tokens, u32 candidates, u32 first) {
  __shared__ i64 best[kTeams];
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const u32 row = block_index();
  if (static_cast<i32>(first + row) >= step_word(step, STEP_WANTED)) return;
  i64 most = kNoChoice;
  for (u32 id = thread_index() * 4; id < candidates; id += kThreads * 4) {
    float values[4];
    load_four(logits + static_cast<u64>(row) * MODEL_VOCABULARY + id, values);
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
      if (id + i < candidates && values[i] == values[i]) most = larger(most, choice_key(values[i], id + i));
    }
  }
  most = team_most(most);
  if (lane_of_team() == 0) best[team_of_block()] = most;
  block_barrier();
  if (thread_index() != 0) return;
  for (int team = 1; team < kTeams; team++) most = larger(most, best[team]);
  tokens[row] = most == kNoChoice ? -1 : static_cast<i32>(0xffffffffu - static_cast<u32>(most));
}

}  // namespace ROUTER_NAMESPACE
