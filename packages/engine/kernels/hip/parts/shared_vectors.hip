// Vectors on their way to shared memory, where Mxfp4Group reads them. The whole block takes part, and waits for it
// afterwards.

namespace ROUTER_NAMESPACE {

// Brings a vector of f32 there. All is asked for before any of it is stored: compilers keep loads behind stores that might
// be to the same memory.
template <int COLUMNS>
ROUTER_INLINE void share_vector(const float* vector, u8* shared) {
  constexpr int kEights = COLUMNS / 8;
  constexpr int kShareTurns = (kEights + kThreads - 1) / kThreads;
  float values[kShareTurns][8];
#pragma unroll
  for (int turn = 0; turn < kShareTurns; turn++) {
    const int eight = turn * kThreads + static_cast<int>(thread_index());
    if (eight < kEights) load_eight(vector + eight * 8, values[turn]);
  }
#pragma unroll
  for (int turn = 0; turn < kShareTurns; turn++) {
    const int eight = turn * kThreads + static_cast<int>(thread_index());
    if (eight < kEights) share_eight<COLUMNS>(shared, eight * 8, values[turn]);
  }
}

// Begins to bring BYTES of what put_value has written; `copies_are_there` ends it.
template <int BYTES>
ROUTER_INLINE void copy_vectors(const u8* vectors, u8* shared) {
  static_assert(BYTES % 16 == 0, "copies are of 16 bytes");
#pragma unroll
  for (int turn = 0; turn < (BYTES / 16 + kThreads - 1) / kThreads; turn++) {
    const int piece = turn * kThreads + static_cast<int>(thread_index());
    if (piece < BYTES / 16) copy_to_shared(reinterpret_cast<Words4*>(shared + piece * 16), vectors + piece * 16);
  }
}

ROUTER_INLINE void copies_are_there() {
  commit_copies();
  wait_for_copies<0>();
  block_barrier();
}

}  // namespace ROUTER_NAMESPACE
