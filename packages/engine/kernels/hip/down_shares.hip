// As down.hip, the work shared out among as many blocks as run at once (expert_shares.hip).

namespace ROUTER_NAMESPACE {

using Products = ExpertProducts<MODEL_INTERMEDIATE, MODEL_HIDDEN>;
static_assert(kSquads * kGroupRows * KERNEL_VECTORS <= kThreads, "a thread an output");

// A thread has one row of one slot of the steps between two barriers.
struct Outputs {
  const float* bias;
  const i32* sortedSlots;
  float* output;
  int row;
  float ownBias;
  // Negative where there is none.
  i32 slot;

  template <int VECTORS>
  ENGINE_METHOD void take(const ExpertShare& share, int first, int end) {
    const int rows = (end - first) * kSquads * kGroupRows;
    const int thread = static_cast<int>(thread_index());
    const int vector = thread / rows;
    row = first * kSquads * kGroupRows + thread % rows;
    slot = -1;
    if (vector >= share.count || row >= MODEL_HIDDEN) return;
    slot = sortedSlots[share.begin + vector];
    ownBias = bias[static_cast<u64>(share.expert) * MODEL_HIDDEN + row];
  }

  template <int VECTORS>
  ENGINE_METHOD void leave(const ExpertShare&, int first, int end, const float* sums) {
    if (slot < 0) return;
    const int rows = (end - first) * kSquads * kGroupRows;
    const int thread = static_cast<int>(thread_index());
    const int ofSteps = thread % rows;
    const float* own = sums + ofSteps / kGroupRows * (kGroupTeams * kGroupRows * VECTORS);
    const float sum = sum_of_group<VECTORS>(own, ofSteps % kGroupRows, thread / rows);
    output[static_cast<u64>(slot) * MODEL_HIDDEN + row] = rounded_sum(sum, ownBias);
  }
};

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, 1)
    expert_down(const u8* codes, const u8* scales, const float* bias, const u8* activated, const i32* offsets,
                const i32* sortedSlots, float* output, u32 room) {
  __shared__ ShareMemory shareMemory;
  // The kernel before is gate_up_shares.hip; the plan was there before it.
  Products::Shares shares;
  shares.begin(offsets, room, &shareMemory);
  Products products = {codes, scales};
  const bool hasWork = products.begin(shares);
  activated = written_before(activated);
  let_kernel_after_begin();
  if (!hasWork) return;
  Outputs outputs = {bias, sortedSlots, output};
  products.run(shares, [&](int at) {
    return activated + static_cast<u64>(sortedSlots[at]) * kVectorBytes<MODEL_INTERMEDIATE>;
  }, outputs);
}

}  // namespace ROUTER_NAMESPACE
