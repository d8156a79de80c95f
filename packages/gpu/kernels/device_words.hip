// Words in device memory by which the blocks of a launch hand f32 numbers to one that waits for them. A word is 0 until it
// is handed over, and then holds its number and the fact in one piece: nothing else has to be ordered.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA
ROUTER_INLINE void store_device_word(u32* word, u32 value) {
  asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" : : "l"(word), "r"(value) : "memory");
}
// COUNT neighbouring words; their address is a multiple of as many bytes as they take.
template <int COUNT>
ROUTER_INLINE void load_device_words(const u32* words, u32* values) {
  static_assert(COUNT == 1 || COUNT == 2 || COUNT == 4, "a load brings 1, 2 or 4 words");
  if constexpr (COUNT == 4) {
    asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(values[0]), "=r"(values[1]), "=r"(values[2]), "=r"(values[3])
                 : "l"(words)
                 : "memory");
  } else if constexpr (COUNT == 2) {
    asm volatile("ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];"
                 : "=r"(values[0]), "=r"(values[1])
                 : "l"(words)
                 : "memory");
  } else {
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(values[0]) : "l"(words) : "memory");
  }
}
// Makes them 0. No block of the launch may look at them after.
template <int COUNT>
ROUTER_INLINE void clear_device_words(u32* words) {
  if constexpr (COUNT == 4) {
    asm volatile("st.relaxed.gpu.global.v4.u32 [%0], {%1, %1, %1, %1};" : : "l"(words), "r"(0) : "memory");
  } else if constexpr (COUNT == 2) {
    asm volatile("st.relaxed.gpu.global.v2.u32 [%0], {%1, %1};" : : "l"(words), "r"(0) : "memory");
  } else {
    store_device_word(words, 0);
  }
}
#else
ROUTER_INLINE void store_device_word(u32* word, u32 value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
template <int COUNT>
ROUTER_INLINE void load_device_words(const u32* words, u32* values) {
#pragma unroll
  for (int i = 0; i < COUNT; i++) values[i] = __atomic_load_n(words + i, __ATOMIC_RELAXED);
}
template <int COUNT>
ROUTER_INLINE void clear_device_words(u32* words) {
#pragma unroll
  for (int i = 0; i < COUNT; i++) store_device_word(words + i, 0);
}
#endif

// The complement of a number is 0 for one NaN alone, which gives way to another.
ROUTER_INLINE u32 word_of_number(float number) { return larger(~float_to_bits(number), 1u); }
ROUTER_INLINE float number_of_word(u32 word) { return bits_to_float(~word); }

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
