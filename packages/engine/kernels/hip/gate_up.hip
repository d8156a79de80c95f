// The experts' gate and up projections with the SwiGLU between them and `down.hip`: normed rows f32 [rows, hidden] to
// vectors of `intermediate` columns as `down.hip` multiplies them (mxfp4_group.hip), one for each slot (token * K + k). A matrix's rows alternate between gate and up. A block takes an
// item of the list (expert_items.hip) and some of its expert's rows.

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = 2 * MODEL_INTERMEDIATE;
constexpr int kRowsPerBlock = KERNEL_GROUPS * kGroupRows;
constexpr int kPairsPerBlock = kRowsPerBlock / 2;
using Group = Mxfp4Group<MODEL_HIDDEN, KERNEL_VECTORS>;
static_assert(kPairsPerBlock * KERNEL_VECTORS <= kThreads, "a thread a pair of a vector");

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    expert_gate_up(const u8* codes, const u8* scales, const float* bias, const float* normed, const i32* list,
                   const i32* sortedSlots, u8* output, u32 items) {
  alignas(16) __shared__ u8 vectors[KERNEL_VECTORS][kVectorBytes<MODEL_HIDDEN>];
  __shared__ float sums[KERNEL_GROUPS][Group::kSumFloats];
  list = written_before(list);
  let_kernel_after_begin();
  const ExpertItem item = expert_item(list, sortedSlots, static_cast<int>(block_index() % items));
  if (item.expert < 0) return;
  const int thread = static_cast<int>(thread_index());
  const int blockRow = static_cast<int>(block_index() / items) * kRowsPerBlock;
  const u64 firstRow = static_cast<u64>(item.expert) * kOutputs + blockRow;
  Group product;
  const auto codes_of = [&](int group) { return codes + (firstRow + group * kGroupRows) * (MODEL_HIDDEN / 2); };
  const auto scales_of = [&](int group) { return scales + (firstRow + group * kGroupRows) * (MODEL_HIDDEN / kBlockColumns); };
  product.load(codes_of(0), scales_of(0));
  const int pair = thread % kPairsPerBlock;
  const int vector = thread / kPairsPerBlock;
  const float gateBias = bias[firstRow + 2 * pair];
  const float upBias = bias[firstRow + 2 * pair + 1];
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    share_vector<MODEL_HIDDEN>(normed + static_cast<u64>(item.slots[i] / MODEL_TOP_K) * MODEL_HIDDEN, vectors[i]);
  }
  block_barrier();
#pragma unroll 1
  for (int group = 0; group < KERNEL_GROUPS; group++) {
    product.multiply(vectors[0], sums[group], group + 1 < KERNEL_GROUPS, codes_of(group + 1), scales_of(group + 1));
  }
  block_barrier();
  if (vector >= item.count) return;
  const float* own = sums[2 * pair / kGroupRows];
  const int rowOfGroup = 2 * pair % kGroupRows;
  const float gate = rounded_sum(Group::sum_of(own, rowOfGroup, vector), gateBias);
  const float up = rounded_sum(Group::sum_of(own, rowOfGroup + 1, vector), upBias);
  u8* to = output + static_cast<u64>(item.slot(vector)) * kVectorBytes<MODEL_INTERMEDIATE>;
  put_value<MODEL_INTERMEDIATE>(to, blockRow / 2 + pair, swiglu(gate, up));
}

}  // namespace ROUTER_NAMESPACE
