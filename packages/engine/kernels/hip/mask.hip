// What a mask leaves of the logits of each wanted row, in place, before its token is chosen: -Infinity for every token that it
// forbids, as the engine's sampler has it (src/sampling/token-mask.ts); what is no number stays so. KERNEL_BLOCKS blocks share
// a row. The logits are those of a launch of head.hip, adjusted by now.
//
//   STEP_MASKS                     where those of the wanted rows begin, STEP_MASK_WORDS each; 0 where no row has one:
//     0, 1                         where the row's mask is, 0 where it has none, and of how many words: bit id % 32 of word
//                                  id / 32 says whether a token may be chosen; words that are not there forbid theirs

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    mask_logits(const u8* step, float* logits, u32 candidates, u32 first) {
  // Of rows without a mask as well: the kernel after this one counts on those before being done.
  logits = written_before(logits);
  let_kernel_after_begin();
  const u32 row = block_index() / KERNEL_BLOCKS;
  const u32 part = block_index() % KERNEL_BLOCKS;
  const i32 wanted = static_cast<i32>(first + row);
  const i32 rows = step_word(step, STEP_MASKS);
  if (rows == 0 || wanted >= step_word(step, STEP_WANTED)) return;
  const i32 at = rows + wanted * STEP_MASK_WORDS;
  const i32 mask = step_word(step, at);
  const u32 words = static_cast<u32>(step_word(step, at + 1));
  if (mask == 0) return;
  const u32 span = (candidates + KERNEL_BLOCKS * 4 - 1) / (KERNEL_BLOCKS * 4) * 4;
  const u32 begin = smaller(part * span, candidates);
  const u32 end = smaller(begin + span, candidates);
  logits += static_cast<u64>(row) * MODEL_VOCABULARY;
  for (u32 id = begin + thread_index() * 4; id < end; id += kThreads * 4) {
    const u32 word = id / 32;
    const u32 bits = word < words ? static_cast<u32>(step_word(step, mask + static_cast<i32>(word))) : 0;
    const u32 allowed = bits >> (id % 32) & 15;
    if (allowed == 15) continue;
    float values[4];
    load_four(logits + id, values);
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
      if ((allowed >> i & 1) == 0 && values[i] == values[i]) values[i] = -kInfinity;
    }
    store_four(logits + id, values);
  }
}

}  // namespace ROUTER_NAMESPACE
