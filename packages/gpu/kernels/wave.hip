// What a whole wave does at once: votes, barriers and reductions.

namespace ROUTER_NAMESPACE {

// A bit for each lane.
#if ROUTER_NVIDIA
using LaneMask = u32;
ROUTER_INLINE LaneMask ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }
ROUTER_INLINE u32 count_lanes(LaneMask mask) { return __popc(mask); }
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
ROUTER_INLINE u32 count_lanes(LaneMask mask) { return __builtin_popcountll(mask); }
// Orders a wave's own accesses to shared memory; the hardware keeps them in order already.
ROUTER_INLINE void wave_barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
  __builtin_amdgcn_wave_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}
#endif

// Whether the hardware reduces integers over a whole wave in one instruction.
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
template <class Key>
ROUTER_INLINE Key wave_min(Key value) {
  return value;
}
#endif

}  // namespace ROUTER_NAMESPACE
