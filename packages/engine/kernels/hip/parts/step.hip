// What differs from step to step, in one block of i32 words. The host writes it (step-block.ts) and says where things
// are:
//
//   STEP_ROWS, STEP_WANTED         how many rows the step has, and of how many logits are wanted
//   STEP_TOKENS[row]               token ids
//   STEP_POSITIONS[row]            positions in their sequences
//   STEP_FULL_TABLES[row]          where the row's table of KV blocks begins, for layers that see everything
//   STEP_WINDOW_TABLES[row]        and for layers with a window; may lie before this block's own beginning, since
//                                  entries of KV blocks that the window has left are not there
//   STEP_PARTIALS[row]             where the row's partial results of attention begin
//   STEP_WANTED_ROWS[index]        the rows whose logits are wanted
//   STEP_RUNS[run]                 neighbouring rows of one sequence: the first, and STEP_RUN_FACTOR times their count
//
// Rows at and past STEP_ROWS are not there: a launch may be made for more rows than a step has.

namespace ROUTER_NAMESPACE {

ROUTER_INLINE i32 step_word(const u8* step, i32 index) { return reinterpret_cast<const i32*>(step)[index]; }

}  // namespace ROUTER_NAMESPACE
