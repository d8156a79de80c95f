// Number formats of 16 and 32 bits.

namespace ROUTER_NAMESPACE {

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

}  // namespace ROUTER_NAMESPACE
