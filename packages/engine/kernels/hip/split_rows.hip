// Rows of the residual stream, f32 [rows, hidden], times a norm's gain, in two bf16 terms for the products of many of them
// (dense_terms.hip); and the sums of their own squares, formed as dense_values_streamed.hip forms them. A block a row: of the
// step's rows, or, where KERNEL_WANTED is 1, of those whose logits are wanted, from `first` on.

namespace ROUTER_NAMESPACE {

constexpr int kEights = MODEL_HIDDEN / kLaneColumns;
constexpr int kPieceEights = kColumnsOfTerms / kLaneColumns;
constexpr int kPieces = MODEL_HIDDEN / kColumnsOfTerms;
static_assert(kPieceOfColumns == kColumnsOfTerms, "pieces are those of the products");

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    split_rows(const u8* step, const float* gain, const float* rows, u8* terms, float* squares, u32 first) {
  __shared__ float squaresOf[kEights];
  __shared__ float teamSquares[kDenseTeams];
  const int index = static_cast<int>(block_index());
  const int count = KERNEL_WANTED ? step_word(step, STEP_WANTED) - static_cast<int>(first) : step_word(step, STEP_ROWS);
  if (index >= count) return;
  const int row = KERNEL_WANTED ? step_word(step, STEP_WANTED_ROWS + static_cast<int>(first) + index) : index;
  rows = written_before(rows);
  let_kernel_after_begin();
  const float* own = rows + static_cast<u64>(row) * MODEL_HIDDEN;
  for (int eight = static_cast<int>(thread_index()); eight < kEights; eight += kThreads) {
    const int column = eight * kLaneColumns;
    float values[kLaneColumns];
    load_eight(own + column, values);
    float gains[kLaneColumns];
    load_eight(gain + column, gains);
    squaresOf[eight] = squares_of_eight(values);
    multiply_eight(values, gains);
    DenseTerms both;
    both.take(values);
    store_dense_terms<MODEL_HIDDEN>(terms, index, column, both);
  }
  block_barrier();
  if (team_of_block() != 0) return;
  // Four lanes a team of the products.
  const int team = lane_of_team() / kPieceEights;
  float sum = 0.0f;
  for (int turn = 0; turn < kPieceTurns<MODEL_HIDDEN>; turn++) {
    const int piece = dense_piece(team, turn);
    if (piece < kPieces) sum = rounded_sum(sum, squaresOf[piece * kPieceEights + lane_of_team() % kPieceEights]);
  }
  sum = token_sum<kPieceEights>(sum);
  if (lane_of_team() % kPieceEights == 0) teamSquares[team] = sum;
  wave_has_read();
  if (lane_of_team() != 0) return;
  float all = 0.0f;
  for (int i = 0; i < kDenseTeams; i++) all += teamSquares[i];
  squares[index] = all;
}

}  // namespace ROUTER_NAMESPACE
