// Root mean square norm of the residual stream for products by matrix tiles: f32 [rows, hidden] to bf16 [rows,
// KERNEL_TERMS * hidden]. A block a row.

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    norm_rows(const u8* step, const float* gain, const float* residual, u32* output) {
  __shared__ float squares[kTeams];
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int row = static_cast<int>(block_index());
  if (row >= step_word(step, STEP_ROWS)) return;
  const float* from = residual + static_cast<u64>(row) * MODEL_HIDDEN;
  float sum = 0.0f;
  for (int column = static_cast<int>(thread_index()) * 4; column < MODEL_HIDDEN; column += kThreads * 4) {
    float values[4];
    load_four(from + column, values);
#pragma unroll
    for (int i = 0; i < 4; i++) sum = multiply_add(values[i], values[i], sum);
  }
  sum = team_sum(sum);
  if (lane_of_team() == 0) squares[team_of_block()] = sum;
  block_barrier();
  float total = 0.0f;
#pragma unroll
  for (int team = 0; team < kTeams; team++) total += squares[team];
  const float scale = norm_scale<MODEL_HIDDEN>(total);
  u32* to = output + static_cast<u64>(row) * KERNEL_TERMS * MODEL_HIDDEN / 2;
  for (int column = static_cast<int>(thread_index()) * 4; column < MODEL_HIDDEN; column += kThreads * 4) {
    float values[4];
    float gains[4];
    load_four(from + column, values);
    load_four(gain + column, gains);
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] = rounded_product(rounded_product(values[i], gains[i]), scale);
#pragma unroll
    for (int pair = 0; pair < 2; pair++) {
      store_terms<KERNEL_TERMS, MODEL_HIDDEN>(to, column + 2 * pair, values[2 * pair], values[2 * pair + 1]);
    }
  }
}

}  // namespace ROUTER_NAMESPACE
