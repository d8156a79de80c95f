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

// Compilers bring loads forward as far as they can, and may run out of registers by it: past this they do not move
// them.
ROUTER_INLINE void keep_loads_behind() {
#if !ROUTER_NVIDIA
#if __has_builtin(__builtin_amdgcn_sched_barrier)
  __builtin_amdgcn_sched_barrier(0);
#endif
#endif
}

}  // namespace ROUTER_NAMESPACE
