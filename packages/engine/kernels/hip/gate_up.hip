// The experts' gate and up projections with the SwiGLU between them and `down.hip`: normed rows f32 [rows, hidden] to f32
// [rows * K, intermediate], a slot (token * K + k) a row. A matrix's rows alternate between gate and up.

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = 2 * MODEL_INTERMEDIATE;

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    expert_gate_up(const u8* step, const u8* codes, const u8* scales, const float* bias, const float* normed,
                   const i32* ids, const i32* list, const i32* sortedSlots, float* output, u32 items) {
  alignas(16) __shared__ float shared[KERNEL_VECTORS * MODEL_HIDDEN];
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int rows = step_word(step, STEP_ROWS);
  const ExpertItem item = expert_item(ids, list, sortedSlots, rows, static_cast<int>(block_index() % items));
  if (item.expert < 0) return;
  const int rowsPerGroup = kTeams * KERNEL_ROWS;
  const int blockRow = static_cast<int>(block_index() / items) * KERNEL_GROUPS * rowsPerGroup;
  const int firstRow = blockRow + team_of_block() * KERNEL_ROWS;
  const u64 matrix = static_cast<u64>(item.expert) * kOutputs;
  Mxfp4Rows<MODEL_HIDDEN, KERNEL_ROWS, KERNEL_VECTORS> dot;
  const auto load = [&](int row) {
    dot.load(codes + (matrix + row) * (MODEL_HIDDEN / 2), scales + (matrix + row) * (MODEL_HIDDEN / kBlockColumns));
  };
  load(firstRow);
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    share_vector<MODEL_HIDDEN>(normed + static_cast<u64>(item.slots[i] / MODEL_TOP_K) * MODEL_HIDDEN,
                               shared + i * MODEL_HIDDEN);
  }
  block_barrier();
  // A group's weights are asked for while those of the group before are used.
#pragma unroll 1
  for (int group = 0; group < KERNEL_GROUPS; group++) {
    const int row = firstRow + group * rowsPerGroup;
    dot.take();
    if (group + 1 < KERNEL_GROUPS) load(row + rowsPerGroup);
    dot.multiply(shared);
    // A lane a pair of a vector.
    constexpr int kPairs = KERNEL_ROWS / 2;
    const int pair = lane_of_team() % kPairs;
    const int vector = lane_of_team() / kPairs;
    const float gateSum = dot.sum_of(2 * pair, vector);
    const float upSum = dot.sum_of(2 * pair + 1, vector);
    if (vector >= item.count) continue;
    const float gate = rounded_sum(gateSum, bias[matrix + row + 2 * pair]);
    const float up = rounded_sum(upSum, bias[matrix + row + 2 * pair + 1]);
    output[static_cast<u64>(item.slot(vector)) * MODEL_INTERMEDIATE + row / 2 + pair] = swiglu(gate, up);
  }
}

}  // namespace ROUTER_NAMESPACE
