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
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int count = step_word(step, STEP_ROWS);
  if (place.vector >= count) return;
  const float* vectors[KERNEL_VECTORS];
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    vectors[i] = attended + static_cast<u64>(smaller(place.vector + i, count - 1)) * kInputs;
  }
  dot.multiply<false>(rows, vectors, nullptr);
  const OwnPlace own = own_place(place, count);
  if (!own.isOwned) return;
  float* to = residual + static_cast<u64>(own.vector) * MODEL_HIDDEN + own.row;
  *to = rounded_sum(*to, rounded_sum(dot.ownSum, bias[own.row]));
}

}  // namespace ROUTER_NAMESPACE
