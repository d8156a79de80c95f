// Words in device memory by which the blocks of a launch hand numbers to one that waits for them. A word is 0 until it is
// handed over, and holds its number and a mark in one piece: nothing else has to be ordered.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA
ROUTER_INLINE void store_device_word(u64* word, u64 value) {
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" : : "l"(word), "l"(value) : "memory");
}
ROUTER_INLINE u64 load_device_word(const u64* word) {
  u64 value;
  asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(value) : "l"(word) : "memory");
  return value;
}
#else
ROUTER_INLINE void store_device_word(u64* word, u64 value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
ROUTER_INLINE u64 load_device_word(const u64* word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
#endif

ROUTER_INLINE u64 marked_word(float number) { return 1ull << 32 | float_to_bits(number); }
ROUTER_INLINE float number_of_word(u64 word) { return bits_to_float(static_cast<u32>(word)); }

// A barrier past which the threads of a block also read what others of it wrote to device memory.
#if ROUTER_NVIDIA
ROUTER_INLINE void block_barrier_of_memory() { __syncthreads(); }
#else
ROUTER_INLINE void block_barrier_of_memory() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
#endif

}  // namespace ROUTER_NAMESPACE
