// Values from a neighbouring lane. ROUTER_LANES lanes share a token; the steps of a butterfly are 1, 2, 4, ... up to
// half of them, and each step pairs a lane with one of the other half of its block of 2 * STEP lanes.

namespace ROUTER_NAMESPACE {

// Pairs every lane with one in the other half of its aligned block of 2 * STEP lanes. For steps 4 and 8 the partner is
// not lane ^ STEP on AMD: a mirror stands in for it. That is enough here, because a butterfly reaches step S only when
// the S lanes of each aligned block of S hold equal values, so that any lane of the other half will do.
template <int STEP>
ROUTER_INLINE i32 from_other_half(i32 value) {
  static_assert(STEP == 1 || STEP == 2 || STEP == 4 || STEP == 8 || STEP == 16, "at most 32 lanes share a token");
#if ROUTER_NVIDIA
  return __shfl_xor_sync(0xffffffffu, value, STEP);
#else
  // DPP works inside rows of 16 lanes, in the instruction that uses the value: quad_perm [1,0,3,2] and [2,3,0,1],
  // row_half_mirror, row_mirror.
  if constexpr (STEP == 1) return __builtin_amdgcn_update_dpp(0, value, 0xB1, 0xf, 0xf, true);
  if constexpr (STEP == 2) return __builtin_amdgcn_update_dpp(0, value, 0x4E, 0xf, 0xf, true);
  if constexpr (STEP == 4) return __builtin_amdgcn_update_dpp(0, value, 0x141, 0xf, 0xf, true);
  if constexpr (STEP == 8) return __builtin_amdgcn_update_dpp(0, value, 0x140, 0xf, 0xf, true);
#if defined(__GFX9__)
  // Between rows: ds_swizzle with xor mask 16. It uses the LDS pipe, but no LDS memory.
  if constexpr (STEP == 16) return __builtin_amdgcn_ds_swizzle(value, 0x401F);
#else
  if constexpr (STEP == 16) return __builtin_amdgcn_permlanex16(value, value, 0x76543210, 0xfedcba98, true, false);
#endif
#endif
}

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

}  // namespace ROUTER_NAMESPACE
