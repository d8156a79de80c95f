// As down.hip, the work shared out among as many blocks as run at once (expert_shares.hip).

namespace ROUTER_NAMESPACE {

using Products = ExpertProducts<MODEL_INTERMEDIATE, MODEL_HIDDEN>;

// A thread's rows and slots of the steps between two barriers.
struct Outputs {
  static constexpr int kMost = (KERNEL_STEPS * kSquads * kGroupRows * kProductVectors + kThreads - 1) / kThreads;
  const float* bias;
  const i32* sortedSlots;
  float* output;
  float ownBias[kMost];
  // Negative where there is none.
  i32 slots[kMost];

  template <class Sums>
  static constexpr int kRows = Sums::kStepsAtOnce * kSquads * kGroupRows;
  ROUTER_INLINE int index_of(int own) { return own * kThreads + static_cast<int>(thread_index()); }

  template <class Sums>
  ENGINE_METHOD void take(const ExpertShare& share, int first, int end) {
#pragma unroll
    for (int own = 0; own < kMost; own++) {
      const int vector = index_of(own) / kRows<Sums>;
      const int row = first * kSquads * kGroupRows + index_of(own) % kRows<Sums>;
      slots[own] = -1;
      if (vector >= share.count || row >= smaller(end * kSquads * kGroupRows, MODEL_HIDDEN)) continue;
      slots[own] = sortedSlots[share.begin + vector];
      ownBias[own] = bias[static_cast<u64>(share.expert) * MODEL_HIDDEN + row];
    }
  }

  template <class Sums>
  ENGINE_METHOD void leave(int first, const float* sums) {
#pragma unroll
    for (int own = 0; own < kMost; own++) {
      if (slots[own] < 0) continue;
      const int row = index_of(own) % kRows<Sums>;
      const float* ofGroup = sums + row / kGroupRows * Sums::kGroupSums;
      const float sum = sum_of_group<Sums::kVectors>(ofGroup, row % kGroupRows, index_of(own) / kRows<Sums>);
      output[static_cast<u64>(slots[own]) * MODEL_HIDDEN + first * kSquads * kGroupRows + row] = rounded_sum(sum, ownBias[own]);
    }
  }
};

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, 1)
    expert_down(const u8* codes, const u8* scales, const float* bias, const u8* activated, const i32* offsets,
                const i32* sortedSlots, float* output, u32 room) {
  __shared__ ShareMemory shareMemory;
  __shared__ StageMemory stageMemory;
  // The kernel before is gate_up_shares.hip; the plan was there before it.
  Products::Shares shares;
  shares.begin(offsets, room, &shareMemory);
  Products products = {codes, scales, &shareMemory, &stageMemory};
  products.begin();
  bool hasWork = shares.find();
  if (hasWork) products.ask();
  activated = written_before(activated);
  let_kernel_after_begin();
  Outputs outputs = {bias, sortedSlots, output};
  while (hasWork) {
    products.run([&](int at) {
      return activated + static_cast<u64>(sortedSlots[at]) * kVectorBytes<MODEL_INTERMEDIATE>;
    }, outputs);
    hasWork = shares.find();
    if (hasWork) products.ask();
  }
}

}  // namespace ROUTER_NAMESPACE
