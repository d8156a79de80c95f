// The embedding of each row's token becomes the residual stream: bf16 [vocabulary, hidden] to f32 [rows, hidden]. A
// block a row. A token below 0 stands for chosen[-1 - token], which a pass before has chosen; where that found no number
// among its logits, what is computed here is of no use, and any token does.

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    embed(const u8* step, const u8* embedding, const i32* chosen, float* residual) {
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int row = static_cast<int>(block_index());
  if (row >= step_word(step, STEP_ROWS)) return;
  i32 token = step_word(step, STEP_TOKENS + row);
  if (token < 0) token = chosen[-1 - token];
  if (token < 0) token = 0;
  const u64 from = static_cast<u64>(token) * MODEL_HIDDEN;
  for (int column = static_cast<int>(thread_index()) * 8; column < MODEL_HIDDEN; column += kThreads * 8) {
    float values[8];
    widen_eight(*reinterpret_cast<const Words4*>(embedding + (from + column) * 2), values);
    float* to = residual + static_cast<u64>(row) * MODEL_HIDDEN + column;
    store_four(to, values);
    store_four(to + 4, values + 4);
  }
}

}  // namespace ROUTER_NAMESPACE
