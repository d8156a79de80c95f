// As head.hip, by products of bf16 tiles (dense_groups.hip).

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, KERNEL_RESIDENT)
    project_head(const u8* step, const u8* weight, const float* gain, const float* residual, float* logits, u32 tiles,
                 u32 first, u32 most) {
  using Values = DenseValues<MODEL_HIDDEN, true>;
  __shared__ DenseSums shared;
  __shared__ Values::Shared sharedValues;
  const DensePlace place = dense_place(tiles);
  DenseGroups<MODEL_HIDDEN> dot;
  // A vocabulary need not end where a block's rows do.
  dot.begin(weight, [&](int group, int row) {
    return smaller(place.row + group * kDenseGroupRows + row, MODEL_VOCABULARY - 1);
  });
  Values values;
  values.begin(gain);
  const int count = smaller(step_word(step, STEP_WANTED) - static_cast<int>(first), static_cast<int>(most));
  if (place.vector >= count) return;
  residual = written_before(residual);
  let_kernel_after_begin();
  const auto vector_of = [&](int index) {
    const i32 wanted = place.vector + index;
    const i32 row = kTakesWantedRows ? wanted : step_word(step, STEP_WANTED_ROWS + static_cast<int>(first) + wanted);
    return residual + static_cast<u64>(row) * MODEL_HIDDEN;
  };
  values.take(place.vector, count - place.vector, vector_of, sharedValues);
  dot.multiply(values, shared);
  values.leave_squares(shared, sharedValues);
  block_barrier();
  for (int i = static_cast<int>(thread_index()); i < KERNEL_VECTORS * kBlockRows; i += kThreads) {
    const int vector = place.vector + i / kBlockRows;
    const int row = place.row + i % kBlockRows;
    if (vector >= count || row >= MODEL_VOCABULARY) continue;
    const float scale = norm_scale<MODEL_HIDDEN>(shared.squares_of(i / kBlockRows));
    logits[static_cast<u64>(vector) * MODEL_VOCABULARY + row] =
        rounded_product(shared.sum_of(i / kBlockRows, i % kBlockRows), scale);
  }
}

}  // namespace ROUTER_NAMESPACE
