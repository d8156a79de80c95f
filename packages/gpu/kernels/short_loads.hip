// As load_streamed_words4 (streamed_loads.hip), of runs of 64 bytes whose neighbours are asked for much later: the
// second-level cache brings no more than them.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA
ROUTER_INLINE Words4 load_short_words4(const u8* address) {
  Words4 words;
  asm("ld.global.nc.L1::no_allocate.L2::64B.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
      : "l"(address));
  return words;
}
#else
ROUTER_INLINE Words4 load_short_words4(const u8* address) { return *reinterpret_cast<const Words4*>(address); }
#endif

}  // namespace ROUTER_NAMESPACE
