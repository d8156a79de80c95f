// The experts' down projection, unweighted: the vectors that `gate_up.hip` leaves to f32 [rows * K, hidden], a slot
// (token * K + k) a row. `combine.hip` weights and adds. A block takes an item of the list (expert_items.hip) and some of
// its expert's rows.

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = MODEL_HIDDEN;
constexpr int kRowsPerBlock = KERNEL_GROUPS * kGroupRows;
using Group = Mxfp4Group<MODEL_INTERMEDIATE, KERNEL_VECTORS>;
static_assert(kRowsPerBlock * KERNEL_VECTORS <= kThreads, "a thread a row of a vector");

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    expert_down(const u8* codes, const u8* scales, const float* bias, const u8* activated, const i32* list,
                const i32* sortedSlots, float* output, u32 items) {
  alignas(16) __shared__ u8 vectors[KERNEL_VECTORS][kVectorBytes<MODEL_INTERMEDIATE>];
  __shared__ float sums[KERNEL_GROUPS][Group::kSumFloats];
  list = written_before(list);
  let_kernel_after_begin();
  const ExpertItem item = expert_item(list, sortedSlots, static_cast<int>(block_index() % items));
  if (item.expert < 0) return;
  const int thread = static_cast<int>(thread_index());
  const int blockRow = static_cast<int>(block_index() / items) * kRowsPerBlock;
  const u64 firstRow = static_cast<u64>(item.expert) * kOutputs + blockRow;
  Group product;
  const auto codes_of = [&](int group) { return codes + (firstRow + group * kGroupRows) * (MODEL_INTERMEDIATE / 2); };
  const auto scales_of = [&](int group) { return scales + (firstRow + group * kGroupRows) * (MODEL_INTERMEDIATE / kBlockColumns); };
  product.load(codes_of(0), scales_of(0));
  const int row = thread % kRowsPerBlock;
  const int vector = thread / kRowsPerBlock;
  const float ownBias = bias[firstRow + row];
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    constexpr int kBytes = kVectorBytes<MODEL_INTERMEDIATE>;
    copy_vectors<kBytes>(activated + static_cast<u64>(item.slots[i]) * kBytes, vectors[i]);
  }
  copies_are_there();
#pragma unroll 1
  for (int group = 0; group < KERNEL_GROUPS; group++) {
    product.multiply(vectors[0], sums[group], group + 1 < KERNEL_GROUPS, codes_of(group + 1), scales_of(group + 1));
  }
  block_barrier();
  if (vector >= item.count) return;
  const float sum = Group::sum_of(sums[row / kGroupRows], row % kGroupRows, vector);
  output[static_cast<u64>(item.slot(vector)) * MODEL_HIDDEN + blockRow + row] = rounded_sum(sum, ownBias);
}

}  // namespace ROUTER_NAMESPACE
