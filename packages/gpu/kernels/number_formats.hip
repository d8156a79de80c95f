// Number formats of 16 and 32 bits, and the order of their numbers as integers.

namespace ROUTER_NAMESPACE {

// How numbers are stored. bf16 and f16 lie two to a word.
enum class Dtype { bf16 = 0, f16 = 1, f32 = 2 };

// The bits of +Inf in a 16-bit format.
template <Dtype DTYPE>
constexpr u32 kInfinity16 = DTYPE == Dtype::bf16 ? 0x7f80u : 0x7c00u;

// A 16-bit number as f32.
template <Dtype DTYPE>
ROUTER_INLINE float widen(u32 half) {
  if constexpr (DTYPE == Dtype::bf16) {
    return bits_to_float(half << 16);
  } else {
#if ROUTER_NVIDIA
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(static_cast<u16>(half)));
    return value;
#else
    return static_cast<float>(__builtin_bit_cast(_Float16, static_cast<u16>(half)));
#endif
  }
}

// The order of a 16-bit number is a signed 16-bit integer that falls as the number rises. Zeros of both signs have one
// order, and all NaNs have one, greater than that of -Inf. Orders are worked out for the two numbers of a word at once:
//
//   orders_of_pair(pair)           of both numbers
//   orders_of_largest(words)       of the largest number in the low halves of some words, and in the high halves
//   number_of_order(word)          the number whose order is the high half of a word, as f32; -Inf for NaN
//
// Integers are the same whichever way they are found, but what they stand for differs from platform to platform.
#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 800

// x * -1 + 0 negates, turns both zeros into +0 and every NaN into 0x7fff; flipping the magnitude of negative numbers
// makes the bits monotonic.
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

template <Dtype DTYPE>
ROUTER_INLINE float number_of_order(i32 word) {
  const i32 clamped = smaller(word, static_cast<i32>(kInfinity16<DTYPE> << 16 | 0xffffu));
  const u32 negated = static_cast<u32>(clamped ^ ((clamped >> 31) & 0x7fffffff)) & 0xffff0000u;
  return DTYPE == Dtype::bf16 ? -bits_to_float(negated) : -widen<DTYPE>(negated >> 16);
}

// NaN loses to every number.
template <Dtype DTYPE>
ROUTER_INLINE u32 larger_of_pairs(u32 a, u32 b) {
  u32 result;
  if constexpr (DTYPE == Dtype::bf16) {
    asm("max.bf16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
  } else {
    asm("max.f16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
  }
  return result;
}

template <Dtype DTYPE, int COUNT>
ROUTER_INLINE u32 largest_of_pairs(const u32* words) {
  if constexpr (COUNT == 1) {
    return words[0];
  } else {
    return larger_of_pairs<DTYPE>(largest_of_pairs<DTYPE, COUNT / 2>(words),
                                  largest_of_pairs<DTYPE, COUNT - COUNT / 2>(words + COUNT / 2));
  }
}

template <Dtype DTYPE, int COUNT>
ROUTER_INLINE u32 orders_of_largest(const u32* words) {
  return orders_of_pair<DTYPE>(largest_of_pairs<DTYPE, COUNT>(words));
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
ROUTER_INLINE u32 smaller_of_orders(u32 a, u32 b) {
  // The high halves decide between whole words, and low halves are compared as high ones.
  const u32 high = static_cast<u32>(smaller(static_cast<i32>(a), static_cast<i32>(b)));
  const u32 low = static_cast<u32>(smaller(static_cast<i32>(a << 16), static_cast<i32>(b << 16)));
  return (high & 0xffff0000u) | (low >> 16);
}
#else
using Shorts2 = short __attribute__((ext_vector_type(2)));
using Halves2 = u16 __attribute__((ext_vector_type(2)));

// Packed 16-bit instructions on both numbers at once.
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
ROUTER_INLINE u32 smaller_of_orders(u32 a, u32 b) {
  const Shorts2 smaller = __builtin_elementwise_min(__builtin_bit_cast(Shorts2, a), __builtin_bit_cast(Shorts2, b));
  return __builtin_bit_cast(u32, smaller);
}
#endif

template <Dtype DTYPE>
ROUTER_INLINE float number_of_order(i32 word) {
  const i32 negated = smaller(static_cast<i32>(static_cast<short>((word >> 16) + static_cast<i32>(kOrderShift<DTYPE>))),
                              static_cast<i32>(kInfinity16<DTYPE>));
  return widen<DTYPE>(negated > 0 ? static_cast<u32>(negated) | 0x8000u : static_cast<u32>(-negated));
}

template <Dtype DTYPE, int COUNT>
ROUTER_INLINE u32 orders_of_largest(const u32* words) {
  u32 orders = orders_of_pair<DTYPE>(words[0]);
#pragma unroll
  for (int i = 1; i < COUNT; i++) orders = smaller_of_orders(orders, orders_of_pair<DTYPE>(words[i]));
  return orders;
}

#endif

}  // namespace ROUTER_NAMESPACE
