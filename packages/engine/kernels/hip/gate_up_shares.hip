// As gate_up.hip, the work shared out among as many blocks as run at once (expert_shares.hip).

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = 2 * MODEL_INTERMEDIATE;
constexpr int kGroupPairs = kGroupRows / 2;
using Products = ExpertProducts<MODEL_HIDDEN, kOutputs>;

// A thread's pairs of gate and up of the steps between two barriers.
struct Activations {
  // With as few slots as a product has there are most: as many for each thread.
  static constexpr int kMost = (KERNEL_STEPS * kSquads * kGroupPairs * kProductVectors + kThreads - 1) / kThreads;
  const float* bias;
  const i32* sortedSlots;
  u8* output;
  float gateBias[kMost];
  float upBias[kMost];
  // Negative where there is none.
  i32 slots[kMost];

  template <class Sums>
  static constexpr int kPairs = Sums::kStepsAtOnce * kSquads * kGroupPairs;
  ROUTER_INLINE int index_of(int own) { return own * kThreads + static_cast<int>(thread_index()); }

  template <class Sums>
  ENGINE_METHOD void take(const ExpertShare& share, int first, int end) {
#pragma unroll
    for (int own = 0; own < kMost; own++) {
      const int vector = index_of(own) / kPairs<Sums>;
      const int pair = first * kSquads * kGroupPairs + index_of(own) % kPairs<Sums>;
      slots[own] = -1;
      if (vector >= share.count || pair >= smaller(end * kSquads * kGroupPairs, MODEL_INTERMEDIATE)) continue;
      slots[own] = sortedSlots[share.begin + vector];
      const float* biases = bias + static_cast<u64>(share.expert) * kOutputs + 2 * pair;
      gateBias[own] = biases[0];
      upBias[own] = biases[1];
    }
  }

  template <class Sums>
  ENGINE_METHOD void leave(int first, const float* sums) {
#pragma unroll
    for (int own = 0; own < kMost; own++) {
      if (slots[own] < 0) continue;
      const int vector = index_of(own) / kPairs<Sums>;
      const int pair = index_of(own) % kPairs<Sums>;
      const float* ofGroup = sums + pair / kGroupPairs * Sums::kGroupSums;
      const int row = pair % kGroupPairs * 2;
      const float gate = rounded_sum(sum_of_group<Sums::kVectors>(ofGroup, row, vector), gateBias[own]);
      const float up = rounded_sum(sum_of_group<Sums::kVectors>(ofGroup, row + 1, vector), upBias[own]);
      u8* to = output + static_cast<u64>(slots[own]) * kVectorBytes<MODEL_INTERMEDIATE>;
      put_value<MODEL_INTERMEDIATE>(to, first * kSquads * kGroupPairs + pair, swiglu(gate, up));
    }
  }
};

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, 1)
    expert_gate_up(const u8* codes, const u8* scales, const float* bias, const u8* normed, const i32* offsets,
                   const i32* sortedSlots, u8* output, u32 room) {
  __shared__ ShareMemory shareMemory;
  __shared__ StageMemory stageMemory;
  offsets = written_before(offsets);
  let_kernel_after_begin();
  Products::Shares shares;
  shares.begin(offsets, room, &shareMemory);
  Products products = {codes, scales, &shareMemory, &stageMemory};
  Activations activations = {bias, sortedSlots, output};
  products.begin();
  while (shares.find()) {
    products.ask();
    products.run([&](int at) {
      return normed + static_cast<u64>(sortedSlots[at] / MODEL_TOP_K) * kVectorBytes<MODEL_HIDDEN>;
    }, activations);
  }
}

}  // namespace ROUTER_NAMESPACE
