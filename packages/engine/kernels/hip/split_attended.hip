// What attention leaves of many rows in two terms of bf16, for products by matrix tiles: f32 [rows, KERNEL_COLUMNS] to bf16 [rows, 2 *
// KERNEL_COLUMNS]. A block a row.

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    split_attended(const u8* step, const float* input, u32* output) {
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int row = static_cast<int>(block_index());
  if (row >= step_word(step, STEP_ROWS)) return;
  const float* from = input + static_cast<u64>(row) * KERNEL_COLUMNS;
  u32* to = output + static_cast<u64>(row) * KERNEL_COLUMNS;
  for (int column = static_cast<int>(thread_index()) * 4; column < KERNEL_COLUMNS; column += kThreads * 4) {
    float values[4];
    load_four(from + column, values);
    store_terms<2, KERNEL_COLUMNS>(to, column, values[0], values[1]);
    store_terms<2, KERNEL_COLUMNS>(to, column + 2, values[2], values[3]);
  }
}

}  // namespace ROUTER_NAMESPACE
