// Copies of whole pieces of device memory to shared memory that one thread asks for and nobody's registers see: NVIDIA's bulk
// copies, from compute capability 9.0 on; no other GPU's kernels have this part, only their emulation. A place in shared
// memory has a BulkBarrier, which passes from one phase to the next each time that all expected bytes are there. Addresses
// and sizes are multiples of 16, and the memory copied from must not be written meanwhile.

namespace ROUTER_NAMESPACE {

using BulkBarrier = u64;

#if ROUTER_NVIDIA
ROUTER_INLINE u32 place_in_shared(const void* shared) { return static_cast<u32>(__cvta_generic_to_shared(shared)); }

// One thread, before a block barrier; the phase is 0.
ROUTER_INLINE void begin_phases(BulkBarrier* barrier) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" : : "r"(place_in_shared(barrier)) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" : : : "memory");
}
// One thread: how many bytes end the phase that is under way. Others have read what the copies take the place of.
ROUTER_INLINE void expect_bytes(BulkBarrier* barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
               :
               : "r"(place_in_shared(barrier)), "r"(bytes)
               : "memory");
}
ROUTER_INLINE void copy_bulk(u8* shared, const u8* address, u32 bytes, BulkBarrier* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
               :
               : "r"(place_in_shared(shared)), "l"(address), "r"(bytes), "r"(place_in_shared(barrier))
               : "memory");
}
// Until the phase whose number is even (0) or odd (1) is over.
ROUTER_INLINE void wait_for_phase(BulkBarrier* barrier, u32 parity) {
  asm volatile("{\n"
               ".reg .pred done;\n"
               "again:\n"
               "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
               "@done bra ready;\n"
               "bra again;\n"
               "ready:\n"
               "}"
               :
               : "r"(place_in_shared(barrier)), "r"(parity)
               : "memory");
}
// Counts in shared memory; returns how many were counted before.
ROUTER_INLINE u32 count_in_shared(u32* counter) { return atomicAdd(counter, 1u); }
// What the lanes of a wave read before, they have.
ROUTER_INLINE void wave_has_read() { __syncwarp(); }
#else
// Emulated: the phases that are over in the high half, bytes that are still expected in the low one.
ROUTER_INLINE void begin_phases(BulkBarrier* barrier) { *barrier = 0; }
ROUTER_INLINE void expect_bytes(BulkBarrier* barrier, u32 bytes) { *barrier += bytes; }
ROUTER_INLINE void copy_bulk(u8* shared, const u8* address, u32 bytes, BulkBarrier* barrier) {
  for (u32 i = 0; i < bytes; i++) shared[i] = address[i];
  *barrier -= bytes;
  if (static_cast<u32>(*barrier) == 0) *barrier += u64{1} << 32;
}
ROUTER_INLINE void wait_for_phase(BulkBarrier* barrier, u32 parity) {
  while ((*const_cast<volatile BulkBarrier*>(barrier) >> 32) % 2 == parity) __builtin_emulated_yield();
}
ROUTER_INLINE u32 count_in_shared(u32* counter) { return __atomic_fetch_add(counter, 1u, __ATOMIC_RELAXED); }
ROUTER_INLINE void wave_has_read() { __builtin_amdgcn_wave_barrier(); }
#endif

}  // namespace ROUTER_NAMESPACE
