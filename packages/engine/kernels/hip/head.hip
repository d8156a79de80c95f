// Final norm and LM head of the rows whose logits are wanted: f32 [rows, hidden] to f32 [wanted rows, vocabulary]. A
// launch takes up to `most` wanted rows from `first` on, and its output begins with that one.

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    project_head(const u8* step, const u8* weight, const float* gain, const float* residual, float* logits, u32 tiles,
                 u32 first, u32 most) {
  const DensePlace place = dense_place(tiles);
  const u8* rows = weight + static_cast<u64>(place.row) * MODEL_HIDDEN * 2;
  DenseRows<MODEL_HIDDEN, KERNEL_ROWS, KERNEL_VECTORS, KERNEL_AHEAD> dot;
  dot.begin(rows);
  const int count = smaller(step_word(step, STEP_WANTED) - static_cast<int>(first), static_cast<int>(most));
  if (place.vector >= count) return;
  i32 wantedRows[KERNEL_VECTORS];
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    const int wanted = static_cast<int>(first) + smaller(place.vector + i, count - 1);
    wantedRows[i] = step_word(step, STEP_WANTED_ROWS + wanted);
  }
  residual = written_before(residual);
  let_kernel_after_begin();
  const float* vectors[KERNEL_VECTORS];
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) vectors[i] = residual + static_cast<u64>(wantedRows[i]) * MODEL_HIDDEN;
  dot.multiply<true>(rows, vectors, gain);
  const OwnPlace own = own_place(place, count);
  const float scale = norm_scale<MODEL_HIDDEN>(dot.ownSquares);
  if (!own.isOwned) return;
  logits[static_cast<u64>(own.vector) * MODEL_VOCABULARY + own.row] = rounded_product(dot.ownSum, scale);
}

}  // namespace ROUTER_NAMESPACE
