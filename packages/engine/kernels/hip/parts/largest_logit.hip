// The largest of a row of logits, found by a whole block: one key that orders by value, then by falling id.

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

// Both zeros are equal.
ROUTER_INLINE i64 choice_key(float value, u32 id) {
  const i32 bits = value == 0.0f ? 0 : static_cast<i32>(float_to_bits(value));
  const i32 order = bits ^ ((bits >> 31) & 0x7fffffff);
  return static_cast<i64>(static_cast<u64>(static_cast<u32>(order)) << 32 | (0xffffffffu - id));
}

// -1 where there was no number.
ROUTER_INLINE i32 id_of_choice(i64 key) {
  return key == kNoChoice ? -1 : static_cast<i32>(0xffffffffu - static_cast<u32>(key));
}

// Of ids `begin` to `end` - 1, in every thread; four divides `begin`. `best` is shared memory.
ROUTER_INLINE i64 largest_logit(const float* logits, u32 begin, u32 end, i64 (&best)[kTeams]) {
  // Loads of a thread that are under way at once.
  constexpr u32 kLoads = 4;
  i64 most = kNoChoice;
  for (u32 first = begin + thread_index() * 4; first < end; first += kLoads * kThreads * 4) {
    float values[kLoads][4];
#pragma unroll
    for (u32 load = 0; load < kLoads; load++) {
      const u32 id = first + load * kThreads * 4;
      if (id < end) load_four(logits + id, values[load]);
    }
#pragma unroll
    for (u32 load = 0; load < kLoads; load++) {
#pragma unroll
      for (u32 i = 0; i < 4; i++) {
        const u32 id = first + load * kThreads * 4 + i;
        if (id < end && values[load][i] == values[load][i]) most = larger(most, choice_key(values[load][i], id));
      }
    }
  }
  most = team_most(most);
  if (lane_of_team() == 0) best[team_of_block()] = most;
  block_barrier();
  most = best[0];
  for (int team = 1; team < kTeams; team++) most = larger(most, best[team]);
  return most;
}

}  // namespace ROUTER_NAMESPACE
