// How likely each token of a row is, as the engine's sampler counts it (src/sampling/token-weights.ts): whole numbers,
// whose sums are the same in any order.

namespace ROUTER_NAMESPACE {

constexpr double kLargestWeight = 34359738368.0;  // 2^35
constexpr double kLowestExponent = -24.5;

// A u32 whose order is that of the f32; both zeros are one. Of NaN it says nothing.
ROUTER_INLINE u32 key_of_logit(float logit) {
  const u32 bits = float_to_bits(logit);
  if (bits == 0x80000000u) return bits;
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}
ROUTER_INLINE float logit_of_key(u32 key) {
  return bits_to_float((key >> 31) != 0 ? key & 0x7fffffffu : ~key);
}

struct TokenWeights {
  double largest;
  double temperature;
  double lowest;
  double smallest;

  // 0 for NaN, for -Inf, and where min-p cuts.
  ENGINE_METHOD u64 of(float logit) const {
    const double value = logit;
    if (!(value >= lowest)) return 0;
    const double exponent = rounded_quotient(rounded_sum(value, -largest), temperature);
    const double weight = rounded_down(rounded_product(kLargestWeight, exact_exp(exponent)));
    return weight >= smallest ? static_cast<u64>(weight) : 0;
  }
};

// Tokens with larger keys, and of those with this key the ids up to `lastId`.
struct KeptTokens {
  u32 key;
  u32 lastId;

  ENGINE_METHOD bool has(u32 id, u32 keyOfLogit) const {
    return keyOfLogit > key || (keyOfLogit == key && id <= lastId);
  }
};

}  // namespace ROUTER_NAMESPACE
