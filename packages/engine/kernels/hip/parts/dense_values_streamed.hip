// The vectors of dense_groups.hip as a lane takes them from device memory, piece by piece. Where KERNEL_VALUES_AHEAD is 1 a
// piece is asked for while the one before it is multiplied, which takes registers.

namespace ROUTER_NAMESPACE {

constexpr bool kTakesWantedRows = false;

template <int COLUMNS, bool NORM>
struct DenseValues {
  using Pieces = DensePieces<COLUMNS>;
  // Shared memory that is needed: none.
  struct Shared {};

  const float* own[kProducts];
  const float* gain;
  float values[kProducts][kLaneColumns];
  float gains[kLaneColumns];
  float squares[kProducts];

  // Before the wait for the kernel before.
  ENGINE_METHOD void begin(const float* normGain) { gain = normGain; }

  // Vector `index` of the tile begins at `vector_of(index)`; of `count` there are. The last one stands in for those that are
  // not there, and nobody reads what comes of it.
  template <class VectorOf>
  ENGINE_METHOD void take(int, int count, VectorOf vector_of, Shared&) {
#pragma unroll
    for (int product = 0; product < kProducts; product++) {
      own[product] = vector_of(smaller(product * kProductVectors + lane_of_team() / 4, count - 1));
      squares[product] = 0.0f;
    }
    if constexpr (KERNEL_VALUES_AHEAD) load(0);
  }

  ENGINE_METHOD void load(int turn) {
    if (!Pieces::has_piece(turn)) return;
    const int column = Pieces::column_of(turn);
    if constexpr (NORM) load_eight(gain + column, gains);
#pragma unroll
    for (int product = 0; product < kProducts; product++) load_eight(own[product] + column, values[product]);
  }

  // What the lane gives to the products of a turn, by `use(product, terms)`.
  template <class Use>
  ENGINE_METHOD void each(int turn, Use use) {
    if constexpr (!KERNEL_VALUES_AHEAD) load(turn);
    float taken[kProducts][kLaneColumns];
    float takenGains[kLaneColumns];
#pragma unroll
    for (int i = 0; i < kLaneColumns; i++) {
      if constexpr (NORM) takenGains[i] = gains[i];
#pragma unroll
      for (int product = 0; product < kProducts; product++) taken[product][i] = values[product][i];
    }
    if constexpr (KERNEL_VALUES_AHEAD) load(turn + 1);
#pragma unroll
    for (int product = 0; product < kProducts; product++) {
      if constexpr (NORM) {
        squares[product] = rounded_sum(squares[product], squares_of_eight(taken[product]));
        multiply_eight(taken[product], takenGains);
      }
      DenseTerms terms;
      terms.take(taken[product]);
      use(product, terms);
    }
  }

  // Leaves the team's sums of squares.
  ENGINE_METHOD void leave_squares(DenseSums& shared, Shared&) const {
    if constexpr (!NORM) return;
#pragma unroll
    for (int product = 0; product < kProducts; product++) {
      const float square = token_sum<4>(squares[product]);
      const int lane = lane_of_team();
      if (lane % 4 == 0) shared.squares[team_of_block()][product * kProductVectors + lane / 4] = square;
    }
  }
};

}  // namespace ROUTER_NAMESPACE
