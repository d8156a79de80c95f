// What penalties and biases make of the logits of each wanted row, in place, before its token is chosen: as the engine's
// sampler has it, to the bit (src/sampling/adjusted-tokens.ts). A block a row. The logits are those of a launch of head.hip.
//
// The tokens that change are listed in the step block (step-adjustments.ts), each once, so that none waits for another:
//
//   STEP_ADJUSTMENTS               where those of the wanted rows begin, STEP_ADJUSTMENT_WORDS each; 0 where no row has any:
//     0, 2, 4                      repetition, presence and frequency penalty, in f64
//     6, 7                         where the row's entries begin, STEP_ENTRY_WORDS each, and how many there are
//     8                            whether the row's own token counts once more than the entries say: where the pass before
//                                  chose it, only the device knows which it is
//   of an entry: 0, 1, 2           id; how often the answer has it, 0 where the prompt alone has, -1 where neither has; bias
//                                  in f64

namespace ROUTER_NAMESPACE {

struct Penalties {
  double repetition;
  double presence;
  double frequency;
};

// f32 after each operation.
ROUTER_INLINE float adjusted_logit(float logit, const Penalties& penalties, i32 count, double bias) {
  if (count >= 0) {
    const double value = logit;
    logit = static_cast<float>(value > 0.0 ? rounded_quotient(value, penalties.repetition)
                                           : rounded_product(value, penalties.repetition));
  }
  if (count > 0) {
    const double present = rounded_sum(static_cast<double>(logit), -penalties.presence);
    logit = static_cast<float>(
        rounded_sum(present, -rounded_product(static_cast<double>(count), penalties.frequency)));
  }
  return static_cast<float>(rounded_sum(static_cast<double>(logit), bias));
}

// The input token of a wanted row, below 0 where no number was among the logits that it was to be chosen from.
ROUTER_INLINE i32 own_token(const u8* step, const i32* chosen, i32 wanted) {
  const i32 token = step_word(step, STEP_TOKENS + step_word(step, STEP_WANTED_ROWS + wanted));
  return token < 0 ? chosen[-1 - token] : token;
}

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    adjust_logits(const u8* step, const i32* chosen, float* logits, u32 candidates, u32 first) {
  __shared__ bool ownIsListed;
  // Of rows without adjustments as well: the kernel after this one counts on the head being done.
  logits = written_before(logits);
  let_kernel_after_begin();
  const u32 thread = thread_index();
  const i32 wanted = static_cast<i32>(first + block_index());
  const i32 rows = step_word(step, STEP_ADJUSTMENTS);
  if (rows == 0 || wanted >= step_word(step, STEP_WANTED)) return;
  const i32 at = rows + wanted * STEP_ADJUSTMENT_WORDS;
  const Penalties penalties = {step_double(step, at), step_double(step, at + 2), step_double(step, at + 4)};
  const i32 entries = step_word(step, at + 6);
  const u32 count = static_cast<u32>(step_word(step, at + 7));
  const i32 own = step_word(step, at + 8) == 0 ? -1 : own_token(step, chosen, wanted);
  logits += static_cast<u64>(block_index()) * MODEL_VOCABULARY;
  if (thread == 0) ownIsListed = false;
  block_barrier();
  for (u32 entry = thread; entry < count; entry += kThreads) {
    const i32 place = entries + static_cast<i32>(entry) * STEP_ENTRY_WORDS;
    const u32 id = static_cast<u32>(step_word(step, place));
    i32 times = step_word(step, place + 1);
    if (static_cast<i32>(id) == own) {
      times = larger(times, 0) + 1;
      ownIsListed = true;
    }
    if (id < candidates) logits[id] = adjusted_logit(logits[id], penalties, times, step_double(step, place + 2));
  }
  block_barrier();
  if (thread != 0 || ownIsListed || static_cast<u32>(own) >= candidates) return;
  logits[own] = adjusted_logit(logits[own], penalties, 1, 0.0);
}

}  // namespace ROUTER_NAMESPACE
