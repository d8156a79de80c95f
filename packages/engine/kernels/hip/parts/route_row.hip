// The experts of one row and their weights from its router logits, as the router of packages/router-kernel chooses them,
// to the bit: the K largest logits, of equal ones the lower expert, NaN last; weights by softmax over the K. Where a step
// has few rows, every block that needs a row's experts finds them by itself, which is sooner done than a launch.

namespace ROUTER_NAMESPACE {

constexpr int kLogitsPerLane = (MODEL_EXPERTS + kTeam - 1) / kTeam;
constexpr i64 kNoExpert = 0x7fffffffffffffffLL;

// Falls as the logit rises; both zeros have one order, and all NaNs one behind that of -Inf.
ROUTER_INLINE i32 routing_order(float logit) {
  const i32 bits = static_cast<i32>(float_to_bits(0.0f - logit));
  const i32 order = bits ^ ((bits >> 31) & 0x7fffffff);
  return logit != logit ? 0x7fffffff : order;
}

// -Inf for a NaN.
ROUTER_INLINE float logit_of_order(i32 order) {
  const i32 clamped = smaller(order, static_cast<i32>(0x7f800000));
  return -bits_to_float(static_cast<u32>(clamped ^ ((clamped >> 31) & 0x7fffffff)));
}

// A template over the key, so that wave_min need not be there where it is not used.
template <int STEP = 1, class Key>
ROUTER_INLINE Key team_least(Key key) {
  if constexpr (kHasWaveReduction && kWaveSize == kTeam) {
    return wave_min(key);
  } else if constexpr (STEP >= kTeam) {
    return key;
  } else {
    return team_least<STEP * 2>(smaller(key, from_other_half<STEP>(key)));
  }
}

// What every lane of a team knows of a row.
struct RoutedRow {
  i32 experts[MODEL_TOP_K];
  float weights[MODEL_TOP_K];

  // Every lane of the team takes part. The logits, f32 [rows, experts], were written by a kernel before, and `load` says
  // how one is read.
  template <class Load>
  ENGINE_METHOD void route(int row, Load load) {
    i64 keys[kLogitsPerLane];
#pragma unroll
    for (int i = 0; i < kLogitsPerLane; i++) {
      const int expert = lane_of_team() + i * kTeam;
      keys[i] = kNoExpert;
      if (expert < MODEL_EXPERTS) keys[i] = static_cast<i64>(routing_order(load(row * MODEL_EXPERTS + expert))) << 32 | expert;
    }
    float best = 0.0f;
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < MODEL_TOP_K; k++) {
      i64 least = keys[0];
#pragma unroll
      for (int i = 1; i < kLogitsPerLane; i++) least = smaller(least, keys[i]);
      least = team_least(least);
#pragma unroll
      for (int i = 0; i < kLogitsPerLane; i++) keys[i] = keys[i] == least ? kNoExpert : keys[i];
      experts[k] = static_cast<i32>(least);
      const float logit = logit_of_order(static_cast<i32>(least >> 32));
      if (k == 0) best = logit;
      // Inf - Inf is NaN, which counts as no difference.
      constexpr float kLog2EOfRouter = 1.44269504088896341f;
      weights[k] = k == 0 ? 1.0f : exp2_approximate(smaller_number((logit - best) * kLog2EOfRouter, 0.0f));
      sum += weights[k];
    }
    const float factor = reciprocal_approximate(sum);
#pragma unroll
    for (int k = 0; k < MODEL_TOP_K; k++) weights[k] = rounded_product(weights[k], factor);
  }

  // The expert of slot `k`, which differs from block to block.
  ENGINE_METHOD i32 expert(int k) const {
    i32 own = experts[0];
#pragma unroll
    for (int i = 1; i < MODEL_TOP_K; i++) {
      // A number of its own: of two places compilers would choose the place, which registers have none of.
      const i32 other = experts[i];
      own = k == i ? other : own;
    }
    return own;
  }
};

}  // namespace ROUTER_NAMESPACE
