// Loads that are on their way when they are asked for. NVIDIA's compiler spares registers by putting loads off: past the wait
// for the kernel before, where they were to be ahead of it, or each to where it is used, so that it waits for the one before.

namespace ROUTER_NAMESPACE {

// As load_streamed_words4, on its side of the wait.
#if ROUTER_NVIDIA
ROUTER_INLINE Words4 load_ahead_words4(const u8* address) {
  Words4 words;
  asm volatile("ld.global.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "l"(address));
  return words;
}
#else
ROUTER_INLINE Words4 load_ahead_words4(const u8* address) { return load_streamed_words4(address); }
#endif

// The 0 that sums of products begin with, once all words are there that are multiplied, which have the bits of `common` in
// common: so none of the loads can be put off. Where these are all bits, the numbers are NaNs, and so is what it begins with.
#if ROUTER_NVIDIA
ROUTER_INLINE float zero_once_loaded(u32 common) { return common == ~0u ? bits_to_float(common) : 0.0f; }
#else
ROUTER_INLINE float zero_once_loaded(u32) { return 0.0f; }
#endif

}  // namespace ROUTER_NAMESPACE
