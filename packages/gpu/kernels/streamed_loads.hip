// Loads of what is read once and by one block, such as weights: they pass the first-level cache by, where that can be
// said, and leave it to what is read again. The memory must not be written while the kernel runs.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA
ROUTER_INLINE Words4 load_streamed_words4(const u8* address) {
  Words4 words;
  asm("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
      : "l"(address));
  return words;
}
#else
ROUTER_INLINE Words4 load_streamed_words4(const u8* address) { return *reinterpret_cast<const Words4*>(address); }
#endif

// Loads of what other blocks or kernels before this one wrote, ahead of the wait for the kernel before: the first-level
// cache, which may have seen the memory as it was, is passed by. They stay on their side of the wait.
#if ROUTER_NVIDIA
ROUTER_INLINE float load_written(const float* address) {
  float value;
  asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(value) : "l"(address));
  return value;
}
ROUTER_INLINE i32 load_written(const i32* address) {
  i32 value;
  asm volatile("ld.global.cg.s32 %0, [%1];" : "=r"(value) : "l"(address));
  return value;
}
ROUTER_INLINE Words4 load_written_words4(const void* address) {
  Words4 words;
  asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "l"(address));
  return words;
}
#else
ROUTER_INLINE float load_written(const float* address) { return *address; }
ROUTER_INLINE i32 load_written(const i32* address) { return *address; }
ROUTER_INLINE Words4 load_written_words4(const void* address) { return *static_cast<const Words4*>(address); }
#endif

// Compilers bring loads forward as far as they can, out of loops too, and may run out of registers by it: past this they
// do not move them.
ROUTER_INLINE void keep_loads_behind() {
#if !ROUTER_NVIDIA
  asm volatile("" : : : "memory");
#if __has_builtin(__builtin_amdgcn_sched_barrier)
  __builtin_amdgcn_sched_barrier(0);
#endif
#endif
}

}  // namespace ROUTER_NAMESPACE
