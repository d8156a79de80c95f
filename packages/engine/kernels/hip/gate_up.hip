// The experts' gate and up projections with the SwiGLU between them and `down.hip`: normed rows, as vectors of `hidden`
// columns (mxfp4_group.hip), to vectors of `intermediate` columns, one for each slot (token * K + k). A matrix's rows
// alternate between gate and up. A block takes an item (expert_items.hip) and some of its expert's rows.

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = 2 * MODEL_INTERMEDIATE;
constexpr int kGroupPairs = kGroupRows / 2;
constexpr int kBlockPairs = KERNEL_GROUPS * kGroupPairs;
constexpr int kRowsPerBlock = KERNEL_GROUPS * kGroupRows;
using Group = Mxfp4Group<MODEL_HIDDEN, KERNEL_VECTORS>;

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, KERNEL_RESIDENT)
    expert_gate_up(const u8* codes, const u8* scales, const float* bias, const u8* normed, const i32* offsets,
                   const i32* sortedSlots, u8* output, u32 items) {
  __shared__ BlockVectors<MODEL_HIDDEN, KERNEL_VECTORS> shared;
  __shared__ float sums[KERNEL_GROUPS][Group::kSumFloats];
  __shared__ ExpertItem found;
  offsets = written_before(offsets);
  let_kernel_after_begin();
  const ExpertItem item = expert_item(offsets, static_cast<int>(block_index() % items), found);
  if (item.expert < 0) return;
  const int thread = static_cast<int>(thread_index());
  const int blockRow = static_cast<int>(block_index() / items) * kRowsPerBlock;
  const u64 firstRow = static_cast<u64>(item.expert) * kOutputs + blockRow;
  Group product;
  const auto codes_of = [&](int group) { return codes + (firstRow + group * kGroupRows) * (MODEL_HIDDEN / 2); };
  const auto scales_of = [&](int group) { return scales + (firstRow + group * kGroupRows) * (MODEL_HIDDEN / kBlockColumns); };
  product.load(codes_of(0), scales_of(0));
  const auto vectors = shared.take([&](int vector) {
    return normed + static_cast<u64>(item.slot(sortedSlots, vector) / MODEL_TOP_K) * kVectorBytes<MODEL_HIDDEN>;
  });
#pragma unroll 1
  for (int group = 0; group < KERNEL_GROUPS - 1; group++) {
    product.template multiply<true>(vectors, sums[group], codes_of(group + 1), scales_of(group + 1));
  }
  product.template multiply<false>(vectors, sums[KERNEL_GROUPS - 1], nullptr, nullptr);
  block_barrier();
  for (int own = thread; own < kBlockPairs * KERNEL_VECTORS; own += kThreads) {
    const int pair = own % kBlockPairs;
    const int vector = own / kBlockPairs;
    if (vector >= item.count) break;
    const float* ofGroup = sums[pair / kGroupPairs];
    const int rowOfGroup = pair % kGroupPairs * 2;
    const float gate = rounded_sum(Group::sum_of(ofGroup, rowOfGroup, vector), bias[firstRow + 2 * pair]);
    const float up = rounded_sum(Group::sum_of(ofGroup, rowOfGroup + 1, vector), bias[firstRow + 2 * pair + 1]);
    u8* to = output + static_cast<u64>(item.slot(sortedSlots, vector)) * kVectorBytes<MODEL_INTERMEDIATE>;
    put_value<MODEL_INTERMEDIATE>(to, blockRow / 2 + pair, swiglu(gate, up));
  }
}

}  // namespace ROUTER_NAMESPACE
