// As attention_output.hip, by products of bf16 tiles (dense_groups.hip).

namespace ROUTER_NAMESPACE {

constexpr int kInputs = MODEL_HEADS * MODEL_HEAD_DIM;

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, KERNEL_RESIDENT)
    project_attention(const u8* step, const u8* weight, const float* bias, const float* attended, float* residual,
                      u32 tiles) {
  using Values = DenseValues<kInputs, false>;
  __shared__ DenseSums shared;
  __shared__ Values::Shared sharedValues;
  const DensePlace place = dense_place(tiles);
  DenseGroups<kInputs> dot;
  dot.begin(weight, [&](int group, int row) { return place.row + group * kDenseGroupRows + row; });
  const int count = step_word(step, STEP_ROWS);
  if (place.vector >= count) return;
  // The stream is as the layer before left it: no kernel between writes to it.
  constexpr int kOwn = (KERNEL_VECTORS * kBlockRows + kThreads - 1) / kThreads;
  const int thread = static_cast<int>(thread_index());
  const auto index_of = [&](int own) { return own * kThreads + thread; };
  const auto is_there = [&](int index) {
    return index < KERNEL_VECTORS * kBlockRows && place.vector + index / kBlockRows < count;
  };
  const auto place_of = [&](int index) {
    return residual + static_cast<u64>(place.vector + index / kBlockRows) * MODEL_HIDDEN + place.row + index % kBlockRows;
  };
  float before[kOwn];
#pragma unroll
  for (int own = 0; own < kOwn; own++) before[own] = is_there(index_of(own)) ? load_written(place_of(index_of(own))) : 0.0f;
  // The threads are a multiple of a block's rows.
  const float ownBias = bias[place.row + thread % kBlockRows];
  attended = written_before(attended);
  let_kernel_after_begin();
  Values values;
  const auto vector_of = [&](int index) { return attended + static_cast<u64>(place.vector + index) * kInputs; };
  values.take(place.vector, count - place.vector, vector_of, sharedValues);
  dot.multiply(values, shared);
  block_barrier();
#pragma unroll
  for (int own = 0; own < kOwn; own++) {
    const int index = index_of(own);
    if (!is_there(index)) continue;
    const float sum = shared.sum_of(index / kBlockRows, index % kBlockRows);
    *place_of(index) = rounded_sum(before[own], rounded_sum(sum, ownBias));
  }
}

}  // namespace ROUTER_NAMESPACE
