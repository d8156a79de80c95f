// Norm, then the gate projection: the router logits, f32 [rows, experts], and the normed rows that the experts read,
// f32 [rows, hidden].

namespace ROUTER_NAMESPACE {

constexpr int kNormedColumns = kTeam * kColumnsPerLane;

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    project_gate(const u8* step, const u8* weight, const float* bias, const float* gain, const float* residual,
                 float* logits, float* normed, u32 tiles) {
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
  const float ownScale = norm_scale<MODEL_HIDDEN>(dot.ownSquares);
  if (own.isOwned) {
    logits[static_cast<u64>(own.vector) * MODEL_EXPERTS + own.row] = multiply_add(dot.ownSum, ownScale, bias[own.row]);
  }
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    const int vector = place.vector + i;
    if (vector >= count) continue;
    const float scale = norm_scale<MODEL_HIDDEN>(dot.squares[i]);
    // The teams of a vector share the writing of its normed row.
    for (int first = place.row / KERNEL_ROWS * kNormedColumns; first < MODEL_HIDDEN;
         first += MODEL_EXPERTS / KERNEL_ROWS * kNormedColumns) {
      const int column = first + lane_of_team() * kColumnsPerLane;
      if (column >= MODEL_HIDDEN) continue;
      float values[kColumnsPerLane];
      float gains[kColumnsPerLane];
      load_eight(vectors[i] + column, values);
      load_eight(gain + column, gains);
#pragma unroll
      for (int j = 0; j < kColumnsPerLane; j++) {
        values[j] = rounded_product(rounded_product(values[j], gains[j]), scale);
      }
      float* to = normed + static_cast<u64>(vector) * MODEL_HIDDEN + column;
      store_four(to, values);
      store_four(to + 4, values + 4);
    }
  }
}

}  // namespace ROUTER_NAMESPACE
