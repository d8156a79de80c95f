// Output projection of attention, added to the residual stream: residual += attended W^T + bias, with attended f32
// [rows, heads * head size].

namespace ROUTER_NAMESPACE {

constexpr int kInputs = MODEL_HEADS * MODEL_HEAD_DIM;

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    project_attention(const u8* step, const u8* weight, const float* bias, const float* attended, float* residual,
                      u32 tiles) {
  const DensePlace place = dense_place(tiles);
  const u8* rows = weight + static_cast<u64>(place.row) * kInputs * 2;
  DenseRows<kInputs, KERNEL_ROWS, KERNEL_VECTORS, KERNEL_AHEAD> dot;
  dot.begin(rows);
  const int count = step_word(step, STEP_ROWS);
  if (place.vector >= count) return;
  // The stream is as the layer before left it: no kernel between writes to it.
  const OwnPlace own = own_place(place, count);
  float* to = residual + static_cast<u64>(smaller(own.vector, count - 1)) * MODEL_HIDDEN + own.row;
  const float before = own.isOwned ? load_written(to) : 0.0f;
  const float ownBias = own.isOwned ? bias[own.row] : 0.0f;
  attended = written_before(attended);
  let_kernel_after_begin();
  const float* vectors[KERNEL_VECTORS];
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    vectors[i] = attended + static_cast<u64>(smaller(place.vector + i, count - 1)) * kInputs;
  }
  dot.multiply<false>(rows, vectors, nullptr);
  if (own.isOwned) *to = rounded_sum(before, rounded_sum(dot.ownSum, ownBias));
}

}  // namespace ROUTER_NAMESPACE
