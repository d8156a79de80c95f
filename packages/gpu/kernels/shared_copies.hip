// Copies from device memory to shared memory that go on while the block computes: NVIDIA's cp.async, from compute
// capability 8. A thread's copies since its last commit form a group; it waits until all but its last PENDING groups are
// done, and a barrier shows them to the others. The memory copied from must not be written meanwhile.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA && __CUDA_ARCH__ >= 800
constexpr bool kHasSharedCopies = true;
ROUTER_INLINE void copy_to_shared(Words4* shared, const u8* address) {
  const u32 place = static_cast<u32>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" : : "r"(place), "l"(address) : "memory");
}
// Of 4 or 8 bytes.
template <int BYTES>
ROUTER_INLINE void copy_short_to_shared(void* shared, const u8* address) {
  const u32 place = static_cast<u32>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" : : "r"(place), "l"(address), "n"(BYTES) : "memory");
}
ROUTER_INLINE void commit_copies() { asm volatile("cp.async.commit_group;" : : : "memory"); }
template <int PENDING>
ROUTER_INLINE void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(PENDING) : "memory");
}
#else
constexpr bool kHasSharedCopies = false;
ROUTER_INLINE void copy_to_shared(Words4* shared, const u8* address) {
  *shared = *reinterpret_cast<const Words4*>(address);
}
template <int BYTES>
ROUTER_INLINE void copy_short_to_shared(void* shared, const u8* address) {
  static_assert(BYTES == 4 || BYTES == 8, "one word or two");
  if constexpr (BYTES == 4) *static_cast<u32*>(shared) = *reinterpret_cast<const u32*>(address);
  else *static_cast<Words2*>(shared) = *reinterpret_cast<const Words2*>(address);
}
ROUTER_INLINE void commit_copies() {}
template <int PENDING>
ROUTER_INLINE void wait_for_copies() {}
#endif

}  // namespace ROUTER_NAMESPACE
