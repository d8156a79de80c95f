// The experts' down projection, unweighted: the vectors that `gate_up.hip` leaves to f32 [rows * K, hidden], a slot
// (token * K + k) a row. `combine.hip` weights and adds. A block takes an item (expert_items.hip) and some of its
// expert's rows.

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = MODEL_HIDDEN;
constexpr int kRowsPerBlock = KERNEL_GROUPS * kGroupRows;
using Group = Mxfp4Group<MODEL_INTERMEDIATE, KERNEL_VECTORS>;

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, KERNEL_RESIDENT)
    expert_down(const u8* codes, const u8* scales, const float* bias, const u8* activated, const i32* offsets,
                const i32* sortedSlots, float* output, u32 items) {
  __shared__ BlockVectors<MODEL_INTERMEDIATE, KERNEL_VECTORS> shared;
  __shared__ float sums[KERNEL_GROUPS][Group::kSumFloats];
  __shared__ ExpertItem found;
  // The kernel before is gate_up.hip; the plan was there before it.
  const ExpertItem item = expert_item(offsets, static_cast<int>(block_index() % items), found);
  if (item.expert < 0) return;
  const int thread = static_cast<int>(thread_index());
  const int blockRow = static_cast<int>(block_index() / items) * kRowsPerBlock;
  const u64 firstRow = static_cast<u64>(item.expert) * kOutputs + blockRow;
  Group product;
  const auto codes_of = [&](int group) { return codes + (firstRow + group * kGroupRows) * (MODEL_INTERMEDIATE / 2); };
  const auto scales_of = [&](int group) { return scales + (firstRow + group * kGroupRows) * (MODEL_INTERMEDIATE / kBlockColumns); };
  product.load(codes_of(0), scales_of(0));
  activated = written_before(activated);
  let_kernel_after_begin();
  const auto vectors = shared.take([&](int vector) {
    return activated + static_cast<u64>(item.slot(sortedSlots, vector)) * kVectorBytes<MODEL_INTERMEDIATE>;
  });
#pragma unroll 1
  for (int group = 0; group < KERNEL_GROUPS - 1; group++) {
    product.template multiply<true>(vectors, sums[group], codes_of(group + 1), scales_of(group + 1));
  }
  product.template multiply<false>(vectors, sums[KERNEL_GROUPS - 1], nullptr, nullptr);
  block_barrier();
  for (int own = thread; own < kRowsPerBlock * KERNEL_VECTORS; own += kThreads) {
    const int row = own % kRowsPerBlock;
    const int vector = own / kRowsPerBlock;
    if (vector >= item.count) break;
    const float sum = Group::sum_of(sums[row / kGroupRows], row % kGroupRows, vector);
    output[static_cast<u64>(item.slot(sortedSlots, vector)) * MODEL_HIDDEN + blockRow + row] =
        rounded_sum(sum, bias[firstRow + row]);
  }
}

}  // namespace ROUTER_NAMESPACE
