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

#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 800

// Two 16-bit logits to two orders. x * -1 + 0 negates, turns both zeros into +0 and every NaN into 0x7fff; flipping
// the magnitude of negative numbers makes the bits monotonic.
template <Dtype DTYPE>
ROUTER_INLINE u32 orders_of_pair(u32 pair) {
  u32 negated;
  if constexpr (DTYPE == Dtype::bf16) {
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(negated) : "r"(pair), "r"(0xbf80bf80u), "r"(0u));
  } else {
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(negated) : "r"(pair), "r"(0xbc00bc00u), "r"(0u));
  }
  // A selector with its high bit set repeats the sign of that byte.
  u32 signs;
  asm("prmt.b32 %0, %1, 0, 0xBB99;" : "=r"(signs) : "r"(negated));
  return negated ^ (signs & 0x7fff7fffu);
}

#else

// Two's complement of -x, moved down so that NaNs of either sign wrap past -Inf at the top, and merged there.
template <Dtype DTYPE>
constexpr u32 kOrderShift = 0x8000u - kInfinity16<DTYPE>;

#if ROUTER_NVIDIA
template <Dtype DTYPE>
ROUTER_INLINE u32 order_of_half(u32 half) {
  const i32 magnitude = static_cast<i32>(half & 0x7fffu);
  const i32 isNan = magnitude > static_cast<i32>(kInfinity16<DTYPE>);
  const i32 order = (half & 0x8000u ? magnitude : -magnitude) - static_cast<i32>(kOrderShift<DTYPE>);
  return static_cast<u32>(isNan ? static_cast<i32>(kInfinity16<DTYPE> - kOrderShift<DTYPE>) + 1 : order) & 0xffffu;
}
template <Dtype DTYPE>
ROUTER_INLINE u32 orders_of_pair(u32 pair) {
  return order_of_half<DTYPE>(pair & 0xffffu) | (order_of_half<DTYPE>(pair >> 16) << 16);
}
#else
using Shorts2 = short __attribute__((ext_vector_type(2)));
using Halves2 = u16 __attribute__((ext_vector_type(2)));

// Packed 16-bit instructions on both logits at once.
template <Dtype DTYPE>
ROUTER_INLINE u32 orders_of_pair(u32 pair) {
  const Halves2 bits = __builtin_bit_cast(Halves2, pair);
  const Halves2 signs = __builtin_bit_cast(Halves2, __builtin_bit_cast(Shorts2, bits) >> (short)15);
  const Halves2 folded = bits ^ (signs & (u16)0x7fff);
  const Halves2 moved = (signs - (u16)kOrderShift<DTYPE>)-folded;
  const Shorts2 ofNan = (short)(kInfinity16<DTYPE> - kOrderShift<DTYPE> + 1);
  const Shorts2 signedOrders = __builtin_bit_cast(Shorts2, moved);
  return __builtin_bit_cast(u32, __builtin_elementwise_min(signedOrders, ofNan));
}
#endif

#endif

// The logit that a 32-bit key carries; -Inf for a NaN.
template <Dtype DTYPE>
ROUTER_INLINE float logit_of_key(i32 key) {
#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 800
  const i32 clamped = smaller(key, static_cast<i32>(kInfinity16<DTYPE> << 16 | 0xffffu));
  const u32 negated = static_cast<u32>(clamped ^ ((clamped >> 31) & 0x7fffffff)) & 0xffff0000u;
  return DTYPE == Dtype::bf16 ? -bits_to_float(negated) : -widen<DTYPE>(negated >> 16);
#else
  const i32 negated = smaller(static_cast<i32>(static_cast<short>((key >> 16) + static_cast<i32>(kOrderShift<DTYPE>))),
                              static_cast<i32>(kInfinity16<DTYPE>));
  return widen<DTYPE>(negated > 0 ? static_cast<u32>(negated) | 0x8000u : static_cast<u32>(-negated));
#endif
}

// The order of an f32: of a logit, or of a choice score.
ROUTER_INLINE i32 order_of_float(float value) {
  // 0 - x, unlike -x, gives +0 for both zeros.
  const i32 bits = static_cast<i32>(float_to_bits(0.0f - value));
  const i32 order = bits ^ ((bits >> 31) & 0x7fffffff);
  return value != value ? 0x7fffffff : order;
}

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
