// As gate_up.hip, the work shared out among as many blocks as run at once (expert_shares.hip).

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = 2 * MODEL_INTERMEDIATE;
constexpr int kGroupPairs = kGroupRows / 2;
using Products = ExpertProducts<MODEL_HIDDEN, kOutputs>;
static_assert(kSquads * kGroupPairs * KERNEL_VECTORS <= kThreads, "a thread an output");

// A thread has one pair of gate and up of the steps between two barriers.
struct Activations {
  const float* bias;
  const i32* sortedSlots;
  u8* output;
  int pair;
  float gateBias;
  float upBias;
  i32 slot;

  // Negative where there is none.
  template <int VECTORS>
  ENGINE_METHOD void take(const ExpertShare& share, int first, int end) {
    const int pairs = (end - first) * kSquads * kGroupPairs;
    const int thread = static_cast<int>(thread_index());
    const int vector = thread / pairs;
    pair = first * kSquads * kGroupPairs + thread % pairs;
    slot = -1;
    if (vector >= share.count || pair >= MODEL_INTERMEDIATE) return;
    slot = sortedSlots[share.begin + vector];
    const float* biases = bias + static_cast<u64>(share.expert) * kOutputs + 2 * pair;
    gateBias = biases[0];
    upBias = biases[1];
  }

  template <int VECTORS>
  ENGINE_METHOD void leave(const ExpertShare&, int first, int end, const float* sums) {
    if (slot < 0) return;
    const int pairs = (end - first) * kSquads * kGroupPairs;
    const int thread = static_cast<int>(thread_index());
    const int vector = thread / pairs;
    const int ofSteps = thread % pairs;
    const float* own = sums + ofSteps / kGroupPairs * (kGroupTeams * kGroupRows * VECTORS);
    const int row = ofSteps % kGroupPairs * 2;
    const float gate = rounded_sum(sum_of_group<VECTORS>(own, row, vector), gateBias);
    const float up = rounded_sum(sum_of_group<VECTORS>(own, row + 1, vector), upBias);
    put_value<MODEL_INTERMEDIATE>(output + static_cast<u64>(slot) * kVectorBytes<MODEL_INTERMEDIATE>, pair, swiglu(gate, up));
  }
};

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, 1)
    expert_gate_up(const u8* codes, const u8* scales, const float* bias, const u8* normed, const i32* offsets,
                   const i32* sortedSlots, u8* output, u32 room) {
  __shared__ ShareMemory shareMemory;
  offsets = written_before(offsets);
  let_kernel_after_begin();
  Products::Shares shares;
  shares.begin(offsets, room, &shareMemory);
  Products products = {codes, scales};
  if (!products.begin(shares)) return;
  Activations activations = {bias, sortedSlots, output};
  products.run(shares, [&](int at) {
    return normed + static_cast<u64>(sortedSlots[at] / MODEL_TOP_K) * kVectorBytes<MODEL_HIDDEN>;
  }, activations);
}

}  // namespace ROUTER_NAMESPACE
