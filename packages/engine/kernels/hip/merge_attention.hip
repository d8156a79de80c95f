// Adds the partial results that attention.hip leaves of rows with several chunks of keys, in the order of the chunks.
// Threads take a head's elements each: a block a row and KERNEL_THREADS / head size of its heads.

namespace ROUTER_NAMESPACE {

constexpr int kHeadsPerBlock = kThreads / MODEL_HEAD_DIM;
static_assert(MODEL_HEADS % kHeadsPerBlock == 0, "a block has heads of one row");

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    merge_attention(const u8* step, const float* sinks, const float* partials, float* output) {
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int row = static_cast<int>(block_index()) / (MODEL_HEADS / kHeadsPerBlock);
  if (row >= step_word(step, STEP_ROWS)) return;
  const SeenKeys keys = seen_keys(step_word(step, STEP_POSITIONS + row), 0);
  if (keys.chunks == 1) return;
  const int thread = static_cast<int>(thread_index());
  const int head = static_cast<int>(block_index()) % (MODEL_HEADS / kHeadsPerBlock) * kHeadsPerBlock +
                   thread / MODEL_HEAD_DIM;
  const int element = thread % MODEL_HEAD_DIM;
  const float sink = rounded_product(sinks[head], kLog2E);
  float most = sink;
  for (int chunk = 0; chunk < keys.chunks; chunk++) {
    most = larger(most, partials[partial_place(step, row, chunk, head) + kPartialMax]);
  }
  MergedChunks merged;
  merged.begin(most, sink);
  for (int chunk = 0; chunk < keys.chunks; chunk++) {
    const float* partial = partials + partial_place(step, row, chunk, head);
    merged.add(partial[kPartialMax], partial[kPartialSum], partial[element]);
  }
  output[static_cast<u64>(row) * MODEL_HEADS * MODEL_HEAD_DIM + head * MODEL_HEAD_DIM + element] = merged.result();
}

}  // namespace ROUTER_NAMESPACE
