// Keys: one integer that carries a logit and its expert, such that the better of two experts has the smaller key.
//
//   bf16, f16: i32, order in the high half, expert in the low half
//   f32, and choice scores: i64, order in the high word, expert in the low word
//
// "Order" is a signed integer that falls as the logit rises: the bits of -x, made monotonic. Zeros of both signs have
// one order, all NaNs have one, greater than that of -Inf, and equal orders leave the lower expert first. Selecting is
// then plain integer min, and needs no second register for the expert and no rule for ties.

namespace ROUTER_NAMESPACE {

template <class Key>
ROUTER_INLINE i32 expert_of(Key key) {
  if constexpr (sizeof(Key) == 4) return static_cast<i32>(key) & 0xffff;
  return static_cast<i32>(key);
}

// The logit that a 32-bit key carries; -Inf for a NaN.
template <Dtype DTYPE>
ROUTER_INLINE float logit_of_key(i32 key) {
  return number_of_order<DTYPE>(key);
}

// The order of an f32, of a logit or of a choice score: as that of 16-bit numbers (number_formats.hip), in 32 bits.
ROUTER_INLINE i32 order_of_float(float value) {
  // 0 - x, unlike -x, gives +0 for both zeros.
  const i32 bits = static_cast<i32>(float_to_bits(0.0f - value));
  const i32 order = bits ^ ((bits >> 31) & 0x7fffffff);
  return value != value ? 0x7fffffff : order;
}

// The f32 of an order; -Inf for a NaN.
ROUTER_INLINE float float_of_order(i32 order) {
  const i32 clamped = smaller(order, static_cast<i32>(0x7f800000));
  return -bits_to_float(static_cast<u32>(clamped ^ ((clamped >> 31) & 0x7fffffff)));
}

ROUTER_INLINE i64 wide_key(i32 order, u32 expert) { return (static_cast<i64>(order) << 32) | expert; }

// The logit that a 64-bit key carries; -Inf for a NaN.
template <Dtype DTYPE>
ROUTER_INLINE float logit_of_key(i64 key) {
  return float_of_order(static_cast<i32>(key >> 32));
}

}  // namespace ROUTER_NAMESPACE
