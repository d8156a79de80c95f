// The one vector of dense_groups.hip by way of shared memory: the whole block asks for all of it at once, and rounds it once.
// The sums of squares are formed as dense_values_streamed.hip forms them.

namespace ROUTER_NAMESPACE {

static_assert(KERNEL_VECTORS == 1, "one vector has room");

constexpr bool kTakesWantedRows = false;

template <int COLUMNS, bool NORM>
struct DenseValues {
  using Pieces = DensePieces<COLUMNS>;
  static constexpr int kEights = COLUMNS / kLaneColumns;
  static constexpr int kShares = (kEights + kThreads - 1) / kThreads;
  struct Shared {
    alignas(16) Words4 terms[kDenseTerms][kEights];
    float squares[NORM ? kEights : 1];
  };

  float gains[kShares][kLaneColumns];
  const Shared* source;

  // Before the wait for the kernel before.
  ENGINE_METHOD void begin(const float* gain) {
    if constexpr (!NORM) return;
#pragma unroll
    for (int share = 0; share < kShares; share++) {
      if (eight_of(share) < kEights) load_eight(gain + eight_of(share) * kLaneColumns, gains[share]);
    }
  }

  ROUTER_INLINE int eight_of(int share) { return share * kThreads + static_cast<int>(thread_index()); }

  // The vector begins at `vector_of(0)`. The whole block takes part.
  template <class VectorOf>
  ENGINE_METHOD void take(int, int, VectorOf vector_of, Shared& shared) {
    const float* vector = vector_of(0);
    float values[kShares][kLaneColumns];
#pragma unroll
    for (int share = 0; share < kShares; share++) {
      if (eight_of(share) < kEights) load_eight(vector + eight_of(share) * kLaneColumns, values[share]);
    }
#pragma unroll
    for (int share = 0; share < kShares; share++) {
      if (eight_of(share) >= kEights) continue;
      if constexpr (NORM) {
        shared.squares[eight_of(share)] = squares_of_eight(values[share]);
        multiply_eight(values[share], gains[share]);
      }
      DenseTerms terms;
      terms.take(values[share]);
#pragma unroll
      for (int term = 0; term < kDenseTerms; term++) shared.terms[term][eight_of(share)] = terms.words[term];
    }
    source = &shared;
    block_barrier();
  }

  template <class Use>
  ENGINE_METHOD void each(int turn, Use use) {
    const int eight = Pieces::column_of(turn) / kLaneColumns;
    DenseTerms terms;
#pragma unroll
    for (int term = 0; term < kDenseTerms; term++) terms.words[term] = source->terms[term][eight];
    use(0, terms);
  }

  ENGINE_METHOD void leave_squares(DenseSums& sums, Shared& shared) const {
    if constexpr (!NORM) return;
    float squares = 0.0f;
#pragma unroll
    for (int turn = 0; turn < Pieces::kTurns; turn++) {
      if (!Pieces::has_piece(turn)) continue;
      squares = rounded_sum(squares, shared.squares[Pieces::column_of(turn) / kLaneColumns]);
    }
    squares = token_sum<4>(squares);
    if (lane_of_team() == 0) sums.squares[team_of_block()][0] = squares;
  }
};

}  // namespace ROUTER_NAMESPACE
