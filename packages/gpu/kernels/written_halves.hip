// load_written (streamed_loads.hip) of 16 bits.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA
ROUTER_INLINE u16 load_written(const u16* address) {
  u16 value;
  asm volatile("ld.global.cg.u16 %0, [%1];" : "=h"(value) : "l"(address));
  return value;
}
#else
ROUTER_INLINE u16 load_written(const u16* address) { return *address; }
#endif

}  // namespace ROUTER_NAMESPACE
