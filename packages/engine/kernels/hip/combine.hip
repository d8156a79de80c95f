// Adds each row's experts, weighted, to the residual stream: residual += sum over k of weights[row, k] * output[row * K
// + k], in the order of k. A block a row.

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    combine_experts(const u8* step, const float* weights, const float* output, float* residual) {
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int row = static_cast<int>(block_index());
  if (row >= step_word(step, STEP_ROWS)) return;
  float shares[MODEL_TOP_K];
#pragma unroll
  for (int k = 0; k < MODEL_TOP_K; k++) shares[k] = weights[row * MODEL_TOP_K + k];
  for (int column = static_cast<int>(thread_index()) * 4; column < MODEL_HIDDEN; column += kThreads * 4) {
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int k = 0; k < MODEL_TOP_K; k++) {
      float values[4];
      load_four(output + (static_cast<u64>(row) * MODEL_TOP_K + k) * MODEL_HIDDEN + column, values);
#pragma unroll
      for (int i = 0; i < 4; i++) sums[i] = multiply_add(shares[k], values[i], sums[i]);
    }
    float* to = residual + static_cast<u64>(row) * MODEL_HIDDEN + column;
    float values[4];
    load_four(to, values);
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] = rounded_sum(values[i], sums[i]);
    store_four(to, values);
  }
}

}  // namespace ROUTER_NAMESPACE
