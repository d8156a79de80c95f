// Root mean square norm of the residual stream for products by matrix tiles: f32 [rows, hidden] to bf16 [rows,
// KERNEL_TERMS * hidden], and where KERNEL_ARRANGED_TERMS is not 0, in as many terms as arranged_columns.hip has them. A block
// a row.

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    norm_rows(const u8* step, const float* gain, const float* residual, u32* output, u32* arranged) {
  __shared__ float squares[kTeams];
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int row = static_cast<int>(block_index());
  if (row >= step_word(step, STEP_ROWS)) return;
  const float* from = residual + static_cast<u64>(row) * MODEL_HIDDEN;
  constexpr int kPiece = 8;
  static_assert(MODEL_HIDDEN % kPiece == 0, "rows end in the middle of a piece");
  float sum = 0.0f;
  for (int column = static_cast<int>(thread_index()) * kPiece; column < MODEL_HIDDEN; column += kThreads * kPiece) {
    float values[kPiece];
    load_eight(from + column, values);
#pragma unroll
    for (int i = 0; i < kPiece; i++) sum = multiply_add(values[i], values[i], sum);
  }
  sum = team_sum(sum);
  if (lane_of_team() == 0) squares[team_of_block()] = sum;
  block_barrier();
  float total = 0.0f;
#pragma unroll
  for (int team = 0; team < kTeams; team++) total += squares[team];
  const float scale = norm_scale<MODEL_HIDDEN>(total);
  constexpr int kArrangedTerms = KERNEL_ARRANGED_TERMS;
  constexpr int kColumns = kArrangedTerms > 0 ? kArrangedColumns<MODEL_HIDDEN> : MODEL_HIDDEN;
  u32* to = output + static_cast<u64>(row) * KERNEL_TERMS * MODEL_HIDDEN / 2;
  // Put in order in shared memory: pairs of neighbouring columns lie apart.
  constexpr int kArrangedWords = kArrangedTerms * kColumns / 2;
  alignas(16) __shared__ u32 ordered[kArrangedWords > 0 ? kArrangedWords : 4];
  for (int column = static_cast<int>(thread_index()) * kPiece; column < kColumns; column += kThreads * kPiece) {
    // Zeros behind the last column.
    float values[kPiece] = {};
    if (column < MODEL_HIDDEN) {
      float gains[kPiece];
      load_eight(from + column, values);
      load_eight(gain + column, gains);
#pragma unroll
      for (int i = 0; i < kPiece; i++) values[i] = rounded_product(rounded_product(values[i], gains[i]), scale);
#pragma unroll
      for (int pair = 0; pair < kPiece; pair += 2) {
        store_terms<KERNEL_TERMS, MODEL_HIDDEN>(to, column + pair, values[pair], values[pair + 1]);
      }
    }
    if constexpr (kArrangedTerms > 0) store_arranged_eight<kArrangedTerms, MODEL_HIDDEN>(ordered, column, values);
  }
  if constexpr (kArrangedTerms > 0) {
    block_barrier();
    Words4* toArranged = reinterpret_cast<Words4*>(arranged + static_cast<u64>(row) * kArrangedWords);
    for (int i = static_cast<int>(thread_index()); i < kArrangedWords / 4; i += kThreads) {
      toArranged[i] = reinterpret_cast<const Words4*>(ordered)[i];
    }
  }
}

}  // namespace ROUTER_NAMESPACE
