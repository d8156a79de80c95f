// Norm, then query, key and value projections: f32 [rows, hidden] to f32 [rows, (heads + 2 * KV heads) * head size].
//
//   output = (x * gain) W^T / sqrt(mean(x^2) + epsilon) + bias
//
// Each team forms the sum of squares on its way, so that the norm costs no pass of its own.

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = (MODEL_HEADS + 2 * MODEL_KV_HEADS) * MODEL_HEAD_DIM;

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    project_qkv(const u8* step, const u8* weight, const float* bias, const float* gain, const float* residual,
                float* output, u32 tiles) {
  const DensePlace place = dense_place(tiles);
  const u8* rows = weight + static_cast<u64>(place.row) * MODEL_HIDDEN * 2;
  DenseRows<MODEL_HIDDEN, KERNEL_ROWS, KERNEL_VECTORS, KERNEL_AHEAD> dot;
  dot.begin(rows);
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int count = step_word(step, STEP_ROWS);
  if (place.vector >= count) return;
  const float* vectors[KERNEL_VECTORS];
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    vectors[i] = residual + static_cast<u64>(smaller(place.vector + i, count - 1)) * MODEL_HIDDEN;
  }
  dot.multiply<true>(rows, vectors, gain);
  const OwnPlace own = own_place(place, count);
  const float scale = norm_scale<MODEL_HIDDEN>(dot.ownSquares);
  if (!own.isOwned) return;
  output[static_cast<u64>(own.vector) * kOutputs + own.row] = multiply_add(dot.ownSum, scale, bias[own.row]);
}

}  // namespace ROUTER_NAMESPACE
