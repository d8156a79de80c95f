// What a whole wave does at once: votes, barriers, exchanges and reductions. Every lane of the wave takes part in each
// of these.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA
// A bit for each lane.
using LaneMask = u32;
ROUTER_INLINE LaneMask ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }
ROUTER_INLINE bool is_any_in_wave(bool predicate) { return __any_sync(0xffffffffu, predicate); }
ROUTER_INLINE u32 count_bits(LaneMask mask) { return __popc(mask); }
ROUTER_INLINE u32 lowest_bit(LaneMask mask) { return static_cast<u32>(__ffs(static_cast<i32>(mask)) - 1); }
// Orders a wave's own accesses to shared memory.
ROUTER_INLINE void wave_barrier() { __syncwarp(); }
#else
using LaneMask = u64;
ROUTER_INLINE LaneMask ballot(bool predicate) {
#if __has_builtin(__builtin_amdgcn_ballot_w64) && __has_builtin(__builtin_amdgcn_ballot_w32)
  if constexpr (kWaveSize == 64) return __builtin_amdgcn_ballot_w64(predicate);
  return __builtin_amdgcn_ballot_w32(predicate);
#else
  // ROCm 5 has the comparison that a ballot is made of; 33 is LLVM's "not equal".
  return __builtin_amdgcn_uicmp(static_cast<u32>(predicate), 0u, 33);
#endif
}
ROUTER_INLINE bool is_any_in_wave(bool predicate) { return ballot(predicate) != 0; }
ROUTER_INLINE u32 count_bits(LaneMask mask) { return __builtin_popcountll(mask); }
ROUTER_INLINE u32 lowest_bit(LaneMask mask) { return __builtin_ctzll(mask); }
// The hardware keeps them in order already; the compiler has to be told.
ROUTER_INLINE void wave_barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
  __builtin_amdgcn_wave_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}
#endif

// A value of a lane in the other half of the aligned block of 2 * STEP lanes that this lane is in: of lane ^ STEP on
// NVIDIA, and on AMD for steps 1, 2 and 16; for steps 4 and 8 a mirror stands in for it there. That is enough for a
// butterfly, which reaches step S only when the S lanes of each aligned block of S hold equal values.
template <int STEP>
ROUTER_INLINE i32 from_other_half(i32 value) {
  static_assert(STEP == 1 || STEP == 2 || STEP == 4 || STEP == 8 || STEP == 16, "butterflies span at most 32 lanes");
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

// The sum of the values of the lanes before this one.
ROUTER_INLINE u32 sum_of_lanes_before(u32 value) {
  const u32 lane = thread_index() % kWaveSize;
  u32 sum = value;
#pragma unroll
  for (u32 distance = 1; distance < kWaveSize; distance *= 2) {
#if ROUTER_NVIDIA
    const u32 other = __shfl_up_sync(0xffffffffu, sum, distance);
#else
    // The address of a lane is 4 times its number; those before the first lane wrap around and are not used.
    const u32 other = __builtin_amdgcn_ds_bpermute((lane - distance) * 4, sum);
#endif
    sum += lane >= distance ? other : 0;
  }
  return sum - value;
}

// Whether the hardware reduces integers over a whole wave in one instruction. There is no wave_min where it does not.
#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 800
constexpr bool kHasWaveReduction = true;
ROUTER_INLINE i32 wave_min(i32 value) { return __reduce_min_sync(0xffffffffu, value); }
ROUTER_INLINE u32 wave_min(u32 value) { return __reduce_min_sync(0xffffffffu, value); }
ROUTER_INLINE i64 wave_min(i64 value) {
  const i32 high = wave_min(static_cast<i32>(value >> 32));
  const u32 low = wave_min(static_cast<i32>(value >> 32) == high ? static_cast<u32>(value) : 0xffffffffu);
  return (static_cast<i64>(high) << 32) | low;
}
#else
constexpr bool kHasWaveReduction = false;
#endif

// The sum of the first `end` of COUNT numbers in shared memory, and of all.
template <u32 COUNT>
ROUTER_INLINE u32 sum_of_first(const u32* numbers, u32 end, u32* all) {
#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 800
  if constexpr (COUNT > 4 && COUNT <= kWaveSize) {
    // One load for the wave, where a loop would take one for each number.
    const u32 lane = thread_index() % kWaveSize;
    const u32 number = lane < COUNT ? numbers[lane] : 0;
    *all = __reduce_add_sync(0xffffffffu, number);
    return __reduce_add_sync(0xffffffffu, lane < end ? number : 0);
  }
#endif
  u32 first = 0;
  u32 total = 0;
#pragma unroll
  for (u32 i = 0; i < COUNT; i++) {
    const u32 number = numbers[i];
    first += i < end ? number : 0;
    total += number;
  }
  *all = total;
  return first;
}

}  // namespace ROUTER_NAMESPACE
