// The experts' down projection, unweighted: f32 [rows * K, intermediate] to f32 [rows * K, hidden], a slot
// (token * K + k) a row. `combine.hip` weights and adds.

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = MODEL_HIDDEN;

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    expert_down(const u8* step, const u8* codes, const u8* scales, const float* bias, const float* activated,
                const i32* ids, const i32* list, const i32* sortedSlots, float* output, u32 items) {
  alignas(16) __shared__ float shared[KERNEL_VECTORS * MODEL_INTERMEDIATE];
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int rows = step_word(step, STEP_ROWS);
  const ExpertItem item = expert_item(ids, list, sortedSlots, rows, static_cast<int>(block_index() % items));
  if (item.expert < 0) return;
  const int rowsPerGroup = kTeams * KERNEL_ROWS;
  const int blockRow = static_cast<int>(block_index() / items) * KERNEL_GROUPS * rowsPerGroup;
  const int firstRow = blockRow + team_of_block() * KERNEL_ROWS;
  const u64 matrix = static_cast<u64>(item.expert) * kOutputs;
  Mxfp4Rows<MODEL_INTERMEDIATE, KERNEL_ROWS, KERNEL_VECTORS> dot;
  const auto load = [&](int row) {
    dot.load(codes + (matrix + row) * (MODEL_INTERMEDIATE / 2),
             scales + (matrix + row) * (MODEL_INTERMEDIATE / kBlockColumns));
  };
  load(firstRow);
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    share_vector<MODEL_INTERMEDIATE>(activated + static_cast<u64>(item.slots[i]) * MODEL_INTERMEDIATE,
                                     shared + i * MODEL_INTERMEDIATE);
  }
  block_barrier();
  // A group's weights are asked for while those of the group before are used.
#pragma unroll 1
  for (int group = 0; group < KERNEL_GROUPS; group++) {
    const int row = firstRow + group * rowsPerGroup;
    dot.take();
    if (group + 1 < KERNEL_GROUPS) load(row + rowsPerGroup);
    dot.multiply(shared);
    // A lane a row of a vector.
    const int at = row + lane_of_team() % KERNEL_ROWS;
    const int vector = lane_of_team() / KERNEL_ROWS;
    const float sum = dot.sum_of(lane_of_team() % KERNEL_ROWS, vector);
    if (vector >= item.count) continue;
    output[static_cast<u64>(item.slot(vector)) * MODEL_HIDDEN + at] = rounded_sum(sum, bias[matrix + at]);
  }
}

}  // namespace ROUTER_NAMESPACE
