// What the baselines share: a lane's part of a row as f32, and plain shuffles. The baselines are our own kernels after
// the published algorithms of other routers, for comparison in the benchmark only. They route with softmax and
// renormalisation, contiguous rows and i32 ids.

namespace ROUTER_NAMESPACE {

constexpr int kExperts = BASELINE_EXPERTS;
constexpr int kTopK = BASELINE_TOP_K;
constexpr int kDtype = BASELINE_DTYPE;  // 0 bf16, 1 f16, 2 f32
constexpr int kElementBytes = kDtype == 2 ? 4 : 2;
constexpr int kThreads = BASELINE_THREADS;
constexpr float kLog2E = 1.44269504088896341f;

#if ROUTER_NVIDIA
ROUTER_INLINE int wave_lane() { return static_cast<int>(threadIdx.x) & 31; }
ROUTER_INLINE int shuffle_xor(int value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
ROUTER_INLINE int shuffle(int value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }
ROUTER_INLINE u64 ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }
ROUTER_INLINE int first_set(u64 mask) { return __ffsll(static_cast<i64>(mask)) - 1; }
#else
ROUTER_INLINE int wave_lane() { return static_cast<int>(thread_index()) & (kWaveSize - 1); }
ROUTER_INLINE int shuffle(int value, int lane) { return __builtin_amdgcn_ds_bpermute(lane * 4, value); }
ROUTER_INLINE int shuffle_xor(int value, int mask) { return shuffle(value, wave_lane() ^ mask); }
ROUTER_INLINE u64 ballot(bool predicate) {
  if constexpr (kWaveSize == 64) return __builtin_amdgcn_ballot_w64(predicate);
  return __builtin_amdgcn_ballot_w32(predicate);
}
ROUTER_INLINE int first_set(u64 mask) { return __builtin_ctzll(mask); }
#endif

ROUTER_INLINE float shuffle_xor(float value, int mask) {
  return bits_to_float(static_cast<u32>(shuffle_xor(static_cast<int>(float_to_bits(value)), mask)));
}

ROUTER_INLINE float widen(u32 half) {
  if constexpr (kDtype == 0) {
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

// One load of BYTES at `address`, as f32 values.
template <int BYTES>
ROUTER_INLINE void load_values(const u8* address, float* values) {
  u32 words[BYTES / 4 > 0 ? BYTES / 4 : 1];
  if constexpr (BYTES == 16) {
    const Words4 loaded = *reinterpret_cast<const Words4*>(address);
    words[0] = loaded.x;
    words[1] = loaded.y;
    words[2] = loaded.z;
    words[3] = loaded.w;
  } else if constexpr (BYTES == 8) {
    const Words2 loaded = *reinterpret_cast<const Words2*>(address);
    words[0] = loaded.x;
    words[1] = loaded.y;
  } else if constexpr (BYTES == 4) {
    words[0] = *reinterpret_cast<const u32*>(address);
  } else {
    words[0] = *reinterpret_cast<const u16*>(address);
  }
#pragma unroll
  for (int i = 0; i < BYTES / kElementBytes; i++) {
    if constexpr (kDtype == 2) {
      values[i] = bits_to_float(words[i]);
    } else {
      values[i] = widen(i % 2 == 0 ? words[i / 2] & 0xffffu : words[i / 2] >> 16);
    }
  }
}

}  // namespace ROUTER_NAMESPACE
