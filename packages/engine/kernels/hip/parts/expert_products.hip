// Products of a block's shares of the experts (expert_shares.hip): the vectors of a tile lie in shared memory, the weights of
// a step are asked for while those of the step before are multiplied, across shares as well, and the squads' sums meet in
// shared memory while the next steps are computed.

namespace ROUTER_NAMESPACE {

// What a block has beside what its kernel declares: more than a kernel may declare.
#if ROUTER_NVIDIA
extern __shared__ Words4 dynamicMemory[];
ROUTER_INLINE u8* dynamic_memory() { return reinterpret_cast<u8*>(dynamicMemory); }
#else
ROUTER_INLINE u8* dynamic_memory() {
  __shared__ Words4 memory[KERNEL_SHARED_BYTES / 16];
  return reinterpret_cast<u8*>(memory);
}
#endif

constexpr int kMostProducts = KERNEL_VECTORS / kProductVectors;
template <int PRODUCTS>
constexpr int kNoMore = PRODUCTS < kMostProducts ? PRODUCTS : kMostProducts;
static_assert(kMostProducts <= 4, "there is a form for each number of products");

// OUTPUTS rows of each expert, of COLUMNS columns.
template <int COLUMNS, int OUTPUTS>
struct ExpertProducts {
  static constexpr int kGroups = OUTPUTS / kGroupRows;
  static constexpr int kSteps = (kGroups + kSquads - 1) / kSquads;
  static constexpr int kBytes = kVectorBytes<COLUMNS>;
  using Shares = BlockShares<kSteps>;
  // Of the steps between two barriers.
  static constexpr int kSumFloats = kSquads * kGroupTeams * kGroupRows * KERNEL_VECTORS;
  static_assert(KERNEL_VECTORS * kBytes + 2 * kSumFloats * 4 <= KERNEL_SHARED_BYTES, "a block has not that much memory");

  const u8* codes;
  const u8* scales;
  ExpertShare share;
  ExpertShare next;
  bool hasNext;
  // Which half of the sums the next steps leave theirs in.
  int half = 0;
  Mxfp4Codes<COLUMNS> product;

  ROUTER_INLINE u8* vector_memory() { return dynamic_memory(); }
  ROUTER_INLINE float* sum_memory(int half) {
    return reinterpret_cast<float*>(dynamic_memory() + KERNEL_VECTORS * kBytes) + half * kSumFloats;
  }

  // The first group of rows of a squad in a step. Where there are not as many, the last one stands in, and nobody reads it.
  static ENGINE_METHOD u64 row_of(int expert, int step) {
    const int group = smaller(step * kSquads + squad_of_block(), kGroups - 1);
    return static_cast<u64>(expert) * OUTPUTS + group * kGroupRows;
  }
  ENGINE_METHOD const u8* codes_of(u64 row) const { return codes + row * (COLUMNS / 2); }
  ENGINE_METHOD const u8* scales_of(u64 row) const { return scales + row * (COLUMNS / kBlockColumns); }

  // Takes the first share and asks for its first step. False where the block has none.
  ENGINE_METHOD bool begin(Shares& shares) {
    if (!shares.take(share)) return false;
    const u64 row = row_of(share.expert, share.firstStep);
    product.load(codes_of(row), scales_of(row));
    return true;
  }

  // Computes all shares. `vector_of(slot)` says where the vector of a slot of the plan's order was written; `output` takes
  // the sums: `take(place, ..)` before those of some steps are formed, `leave(sum, ..)` for each row and vector.
  template <class VectorOf, class Output>
  ENGINE_METHOD void run(Shares& shares, VectorOf vector_of, Output& output) {
    for (;;) {
      bring_vectors(vector_of);
      hasNext = shares.take(next);
      copies_are_there();
      switch (products_of(share.count)) {
        case 1: steps<1>(output); break;
        case 2: steps<kNoMore<2>>(output); break;
        case 3: steps<kNoMore<3>>(output); break;
        default: steps<kMostProducts>(output); break;
      }
      if (!hasNext) return;
      share = next;
    }
  }

  // Nobody reads those before any more: steps end with a barrier behind their last product.
  template <class VectorOf>
  ENGINE_METHOD void bring_vectors(VectorOf vector_of) {
    constexpr int kPieces = kBytes / 16;
    for (int slot = squad_of_block(); slot < share.count; slot += kSquads) {
      const u8* vector = vector_of(share.begin + slot);
      for (int piece = static_cast<int>(thread_index()) % (kThreads / kSquads); piece < kPieces; piece += kThreads / kSquads) {
        copy_to_shared(reinterpret_cast<Words4*>(vector_memory() + slot * kBytes + piece * 16), vector + piece * 16);
      }
    }
  }

  template <int PRODUCTS, class Output>
  ENGINE_METHOD void steps(Output& output) {
    constexpr int kStepsAtOnce = kMostProducts / PRODUCTS;
    constexpr int kVectors = PRODUCTS * kProductVectors;
    constexpr int kGroupFloats = kGroupTeams * kGroupRows * kVectors;
    const int lane = lane_of_team();
    const int column = lane / kBlocksAtOnce;
    const u8* own[Mxfp4Codes<COLUMNS>::kTurns];
#pragma unroll
    for (int turn = 0; turn < Mxfp4Codes<COLUMNS>::kTurns; turn++) {
      own[turn] = vector_memory() + column / kTerms * kBytes +
                  word_place<COLUMNS>(Mxfp4Codes<COLUMNS>::nearest_block(turn), 0, column % kTerms);
    }
    const auto right_of = [&](int of, int turn, int word) {
      return *reinterpret_cast<const Words4*>(own[turn] + of * kProductVectors * kBytes +
                                              word * Mxfp4Codes<COLUMNS>::kFours * kPieceBytes);
    };
#pragma unroll 1
    for (int first = share.firstStep; first < share.endStep; first += kStepsAtOnce) {
      const int end = smaller(first + kStepsAtOnce, share.endStep);
      output.template take<kVectors>(share, first, end);
#pragma unroll 1
      for (int step = first; step < end; step++) {
        const bool isLast = step + 1 == share.endStep;
        float sums[PRODUCTS][2][4] = {};
        if (isLast && !hasNext) {
          product.template add_products<PRODUCTS, false>(sums, right_of, nullptr, nullptr);
        } else {
          const u64 row = row_of(isLast ? next.expert : share.expert, isLast ? next.firstStep : step + 1);
          product.template add_products<PRODUCTS, true>(sums, right_of, codes_of(row), scales_of(row));
        }
        product.template leave<kVectors>(sums, sum_memory(half) + ((step - first) * kSquads + squad_of_block()) * kGroupFloats);
      }
      block_barrier();
      output.template leave<kVectors>(share, first, end, sum_memory(half));
      half ^= 1;
    }
  }
};

}  // namespace ROUTER_NAMESPACE
