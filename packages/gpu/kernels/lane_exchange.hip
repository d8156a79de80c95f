// Butterflies: reductions over the lanes that share a token, ROUTER_LANES of them. The steps are 1, 2, 4, ... up to half
// of the lanes; each pairs a lane with one of the other half of its aligned block of 2 * STEP lanes (from_other_half).

namespace ROUTER_NAMESPACE {

template <int STEP>
ROUTER_INLINE i64 from_other_half(i64 value) {
  const u32 low = static_cast<u32>(from_other_half<STEP>(static_cast<i32>(value)));
  const i32 high = from_other_half<STEP>(static_cast<i32>(value >> 32));
  return (static_cast<i64>(high) << 32) | low;
}

template <int STEP>
ROUTER_INLINE float from_other_half(float value) {
  return bits_to_float(static_cast<u32>(from_other_half<STEP>(static_cast<i32>(float_to_bits(value)))));
}

// The largest value among the lanes of a token; none is NaN.
template <int LANES, int STEP = 1>
ROUTER_INLINE float token_max(float value) {
  if constexpr (STEP >= LANES) {
    return value;
  } else {
    return token_max<LANES, STEP * 2>(larger(value, from_other_half<STEP>(value)));
  }
}

// The sum over the lanes of a token; every lane gets the same bits, since both partners add the same two numbers.
template <int LANES, int STEP = 1>
ROUTER_INLINE float token_sum(float value) {
  if constexpr (STEP >= LANES) {
    return value;
  } else {
    return token_sum<LANES, STEP * 2>(value + from_other_half<STEP>(value));
  }
}

// The bits that any lane of a token has set.
template <int LANES, int STEP = 1>
ROUTER_INLINE u32 token_or(u32 bits) {
  if constexpr (STEP >= LANES) {
    return bits;
  } else {
    return token_or<LANES, STEP * 2>(bits | static_cast<u32>(from_other_half<STEP>(static_cast<i32>(bits))));
  }
}

}  // namespace ROUTER_NAMESPACE
