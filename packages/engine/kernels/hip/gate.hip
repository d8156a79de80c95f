// Norm, then the gate projection: the router logits, f32 [rows, experts], and where KERNEL_WRITES_NORMED is 1 the normed
// rows as vectors that the experts multiply (mxfp4_group.hip). A block takes an expert and a tile of rows.

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    project_gate(const u8* step, const u8* weight, const float* bias, const float* gain, const float* residual,
                 float* logits, u8* normed, u32 tiles) {
  __shared__ float teamSums[kTeams][KERNEL_VECTORS];
  __shared__ float teamSquares[kTeams][KERNEL_VECTORS];
  const int expert = static_cast<int>(block_index() / tiles);
  const int firstVector = static_cast<int>(block_index() % tiles) * KERNEL_VECTORS;
  const int thread = static_cast<int>(thread_index());
  const int count = step_word(step, STEP_ROWS);
  if (firstVector >= count) return;
  Words4 words[kRowTurns];
  float gains[kRowTurns][kPieceColumns];
#pragma unroll
  for (int turn = 0; turn < kRowTurns; turn++) {
    if (!has_row_piece(turn)) continue;
    const int column = row_column(turn);
    words[turn] = load_streamed_words4(weight + (static_cast<u64>(expert) * MODEL_HIDDEN + column) * 2);
    load_eight(gain + column, gains[turn]);
  }
  const float ownBias = bias[expert];
  residual = written_before(residual);
  let_kernel_after_begin();
  float sums[KERNEL_VECTORS];
  float squares[KERNEL_VECTORS];
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    const float* vector = residual + static_cast<u64>(smaller(firstVector + i, count - 1)) * MODEL_HIDDEN;
    sums[i] = 0.0f;
    squares[i] = 0.0f;
#pragma unroll
    for (int turn = 0; turn < kRowTurns; turn++) {
      if (!has_row_piece(turn)) continue;
      float values[kPieceColumns];
      float weights[kPieceColumns];
      load_eight(vector + row_column(turn), values);
      widen_eight(words[turn], weights);
      squares[i] = add_squares(values, squares[i]);
#pragma unroll
      for (int j = 0; j < kPieceColumns; j++) {
        sums[i] = multiply_add(weights[j], rounded_product(values[j], gains[turn][j]), sums[i]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    const float sum = team_sum(sums[i]);
    const float square = team_sum(squares[i]);
    if (lane_of_team() != 0) continue;
    teamSums[team_of_block()][i] = sum;
    teamSquares[team_of_block()][i] = square;
  }
  block_barrier();
  if (thread < KERNEL_VECTORS && firstVector + thread < count) {
    const float scale = norm_scale<MODEL_HIDDEN>(sum_of_teams<KERNEL_VECTORS>(&teamSquares[0][thread]));
    const float sum = sum_of_teams<KERNEL_VECTORS>(&teamSums[0][thread]);
    logits[static_cast<u64>(firstVector + thread) * MODEL_EXPERTS + expert] = multiply_add(sum, scale, ownBias);
  }
#if KERNEL_WRITES_NORMED
  // The blocks of a row share the writing of its normed row.
  constexpr int kOwnPieces = (kRowPieces + MODEL_EXPERTS - 1) / MODEL_EXPERTS;
  for (int i = thread; i < KERNEL_VECTORS * kOwnPieces; i += kThreads) {
    const int vector = i / kOwnPieces;
    const int piece = expert + i % kOwnPieces * MODEL_EXPERTS;
    if (piece >= kRowPieces || firstVector + vector >= count) continue;
    const float scale = norm_scale<MODEL_HIDDEN>(sum_of_teams<KERNEL_VECTORS>(&teamSquares[0][vector]));
    const u64 at = static_cast<u64>(firstVector + vector) * MODEL_HIDDEN + piece * kPieceColumns;
    float values[kPieceColumns];
    float ownGains[kPieceColumns];
    load_eight(residual + at, values);
    load_eight(gain + piece * kPieceColumns, ownGains);
#pragma unroll
    for (int j = 0; j < kPieceColumns; j++) values[j] = normed_value(values[j], ownGains[j], scale);
    share_eight<MODEL_HIDDEN>(normed + static_cast<u64>(firstVector + vector) * kVectorBytes<MODEL_HIDDEN>,
                              piece * kPieceColumns, values);
  }
#endif
}

}  // namespace ROUTER_NAMESPACE
