// Shared memory that a block has beside what its kernel declares, KERNEL_SHARED_BYTES: more than a kernel may declare.

namespace ROUTER_NAMESPACE {

#if ROUTER_NVIDIA
// Aligned for what matrix_groups.hip reads.
extern __shared__ __align__(1024) Words4 dynamicMemory[];
ROUTER_INLINE u8* dynamic_memory() { return reinterpret_cast<u8*>(dynamicMemory); }
#else
ROUTER_INLINE u8* dynamic_memory() {
  __shared__ Words4 memory[KERNEL_SHARED_BYTES / 16];
  return reinterpret_cast<u8*>(memory);
}
#endif

}  // namespace ROUTER_NAMESPACE
