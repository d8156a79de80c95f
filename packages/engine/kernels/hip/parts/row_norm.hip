// The norm of rows of the residual stream by a whole block: threads take pieces of eight columns, one after the other.
// A row's sums are formed over a thread's pieces, then over its team's lanes, then over the block's teams, and no kernel
// does it otherwise: a row has the same bits whoever norms it.

namespace ROUTER_NAMESPACE {

constexpr int kPieceColumns = 8;
constexpr int kRowPieces = MODEL_HIDDEN / kPieceColumns;
constexpr int kRowTurns = (kRowPieces + kThreads - 1) / kThreads;
static_assert(MODEL_HIDDEN % kPieceColumns == 0, "rows end in the middle of a piece");
static_assert(kThreads == 256, "the number of threads decides the order of a row's sums");

ROUTER_INLINE bool has_row_piece(int turn) { return turn * kThreads + static_cast<int>(thread_index()) < kRowPieces; }
ROUTER_INLINE int row_column(int turn) {
  return (turn * kThreads + static_cast<int>(thread_index())) * kPieceColumns;
}

ROUTER_INLINE float add_squares(const float* values, float squares) {
#pragma unroll
  for (int i = 0; i < kPieceColumns; i++) squares = multiply_add(values[i], values[i], squares);
  return squares;
}

// Of the teams' sums, DISTANCE apart.
template <int DISTANCE>
ROUTER_INLINE float sum_of_teams(const float* sums) {
  float sum = 0.0f;
#pragma unroll
  for (int team = 0; team < kTeams; team++) sum += sums[team * DISTANCE];
  return sum;
}

// A value of a normed row.
ROUTER_INLINE float normed_value(float value, float gain, float scale) {
  return rounded_product(rounded_product(value, gain), scale);
}

}  // namespace ROUTER_NAMESPACE
