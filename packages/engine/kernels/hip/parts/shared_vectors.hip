// Vectors where Mxfp4Group reads them.

namespace ROUTER_NAMESPACE {

// Begins to bring BYTES of what put_value has written to shared memory; `copies_are_there` ends it. The whole block takes
// part.
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

// The vectors that a block multiplies: in shared memory, or, where kReadsInPlace, left where they are, for the
// first-level cache to keep: they may be more than shared memory has room for.
template <int COLUMNS, int VECTORS>
struct BlockVectors {
  static constexpr int kBytes = kVectorBytes<COLUMNS>;
  alignas(16) u8 bytes[kReadsInPlace ? 16 : VECTORS * kBytes];

  // `place_of(vector)` is where a vector was written. The whole block takes part.
  template <class PlaceOf>
  ENGINE_METHOD auto take(PlaceOf place_of) {
    using Group = Mxfp4Group<COLUMNS, VECTORS>;
    if constexpr (kReadsInPlace) {
      return Group::vectors_of(place_of);
    } else {
#pragma unroll
      for (int vector = 0; vector < VECTORS; vector++) copy_vectors<kBytes>(place_of(vector), bytes + vector * kBytes);
      copies_are_there();
      return Group::vectors_of([&](int vector) { return bytes + vector * kBytes; });
    }
  }
};

}  // namespace ROUTER_NAMESPACE
