// The experts' gate and up projections with the SwiGLU between them and `down.hip`: normed rows, as vectors of `hidden`
// columns (mxfp4_group.hip), to vectors of `intermediate` columns, one for each slot (token * K + k). A matrix's rows
// alternate between gate and up. A block takes an item (expert_items.hip) and some of its expert's rows.

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = 2 * MODEL_INTERMEDIATE;
constexpr int kGroupPairs = kGroupRows / 2;
constexpr int kPassPairs = KERNEL_GROUPS * kGroupPairs;
constexpr int kRowsPerBlock = KERNEL_PASSES * KERNEL_GROUPS * kGroupRows;
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
  for (int pass = 0; pass < KERNEL_PASSES; pass++) {
    const bool isLast = pass + 1 == KERNEL_PASSES;
    const int groups = isLast ? KERNEL_GROUPS - 1 : KERNEL_GROUPS;
#pragma unroll 1
    for (int i = 0; i < groups; i++) {
      const int group = pass * KERNEL_GROUPS + i;
      product.template multiply<true>(vectors, sums[i], codes_of(group + 1), scales_of(group + 1));
    }
    if (isLast) product.template multiply<false>(vectors, sums[KERNEL_GROUPS - 1], nullptr, nullptr);
    block_barrier();
    for (int own = thread; own < kPassPairs * KERNEL_VECTORS; own += kThreads) {
      const int pair = own % kPassPairs;
      const int vector = own / kPassPairs;
      if (vector >= item.count) break;
      const u64 row = firstRow + pass * KERNEL_GROUPS * kGroupRows + 2 * pair;
      const float* ofGroup = sums[pair / kGroupPairs];
      const int rowOfGroup = pair % kGroupPairs * 2;
      const float gate = rounded_sum(Group::sum_of(ofGroup, rowOfGroup, vector), bias[row]);
      const float up = rounded_sum(Group::sum_of(ofGroup, rowOfGroup + 1, vector), bias[row + 1]);
      u8* to = output + static_cast<u64>(item.slot(sortedSlots, vector)) * kVectorBytes<MODEL_INTERMEDIATE>;
      put_value<MODEL_INTERMEDIATE>(to, blockRow / 2 + pass * kPassPairs + pair, swiglu(gate, up));
    }
    if (pass + 1 < KERNEL_PASSES) block_barrier();
  }
}

}  // namespace ROUTER_NAMESPACE
