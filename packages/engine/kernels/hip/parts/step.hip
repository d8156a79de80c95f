// What differs from step to step, in one block of i32 words. The host writes it (step-block.ts) and says where things
// are:
//
//   STEP_ROWS, STEP_WANTED         how many rows the step has, and of how many logits are wanted
//   STEP_TOKENS[row]               token ids; below 0, -1 - the place of a token that a pass before has chosen
//   STEP_POSITIONS[row]            positions in their sequences
//   STEP_FULL_TABLES[row]          where the row's table of KV blocks begins, for layers that see everything
//   STEP_WINDOW_TABLES[row]        and for layers with a window; may lie before this block's own beginning, since
//                                  entries of KV blocks that the window has left are not there
//   STEP_PARTIALS[row]             where the row's partial results of attention begin
//   STEP_WANTED_ROWS[index]        the rows whose logits are wanted
//   STEP_RUNS[run]                 neighbouring rows of one sequence: the first, and STEP_RUN_FACTOR times their count
//   STEP_DRAWS                     where the draws of the wanted rows begin, STEP_DRAW_WORDS each; 0 where none is drawn
//   STEP_SETTLED[row]              the position of the first row of its sequence: keys and values of those before it
//                                  were there before the step
//
// Rows at and past STEP_ROWS are not there: a launch may be made for more rows than a step has.
//
// A kernel may begin while the one before it runs, and read meanwhile what that one does not write: weights, the step
// block, and what kernels further back wrote, for each of them is done when the one after the next begins. Such reads
// stand before `written_before`.

namespace ROUTER_NAMESPACE {

ROUTER_INLINE i32 step_word(const u8* step, i32 index) { return reinterpret_cast<const i32*>(step)[index]; }

// What the kernel before this one wrote, once it is done.
template <class T>
ROUTER_INLINE T* written_before(T* address) {
  return reinterpret_cast<T*>(
      const_cast<u8*>(once_kernel_before_is_done(reinterpret_cast<const u8*>(address))));
}

}  // namespace ROUTER_NAMESPACE
