// The id of the largest logit of each wanted row, the lowest of equal ones; -1 where none is a number. Ids at and past
// `candidates` are never chosen: a vocabulary may be padded. KERNEL_BLOCKS blocks share a row, and the last of them to be
// done compares what they found; the logits are those of a launch of head.hip, as adjust.hip and mask.hip have left them.
//
//   found i64 [rows, KERNEL_BLOCKS]; arrivals u32 [rows], 0 before and after

namespace ROUTER_NAMESPACE {

static_assert(KERNEL_BLOCKS <= kThreads, "a thread a block");

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    choose_largest(const u8* step, const float* logits, i64* found, u32* arrivals, i32* tokens, u32 candidates,
                   u32 first) {
  __shared__ i64 best[kTeams];
  __shared__ bool isLast;
  const u32 row = block_index() / KERNEL_BLOCKS;
  const u32 part = block_index() % KERNEL_BLOCKS;
  const u32 thread = thread_index();
  if (static_cast<i32>(first + row) >= step_word(step, STEP_WANTED)) return;
  logits = written_before(logits);
  let_kernel_after_begin();
  const u32 span = (candidates + KERNEL_BLOCKS * 4 - 1) / (KERNEL_BLOCKS * 4) * 4;
  const u32 begin = smaller(part * span, candidates);
  const u32 end = smaller(begin + span, candidates);
  i64 most = largest_logit(logits + static_cast<u64>(row) * MODEL_VOCABULARY, begin, end, best);
  i64* ofRow = found + row * KERNEL_BLOCKS;
  if (thread == 0) {
    ofRow[part] = most;
    publish_to_device();
    isLast = arrive(arrivals + row) == KERNEL_BLOCKS - 1;
  }
  block_barrier();
  if (!isLast) return;
  receive_from_device();
  most = team_most(thread < KERNEL_BLOCKS ? ofRow[thread] : kNoChoice);
  if (lane_of_team() == 0) best[team_of_block()] = most;
  block_barrier();
  if (thread != 0) return;
  for (int team = 1; team < kTeams; team++) most = larger(most, best[team]);
  tokens[row] = id_of_choice(most);
  arrivals[row] = 0;
}

}  // namespace ROUTER_NAMESPACE
