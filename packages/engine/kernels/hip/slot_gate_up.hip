// Norm, routing, and the experts' gate and up projections with SwiGLU where a step has few rows, most of whose slots
// (token * K + k) have an expert of their own: the residual stream f32 [rows, hidden] and the router logits f32 [rows,
// experts] to vectors of `intermediate` columns as `slot_down.hip` multiplies them (mxfp4_group.hip), one for each slot. A
// block takes a slot and some of its expert's rows. The sums are those of gate.hip and gate_up.hip.

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = 2 * MODEL_INTERMEDIATE;
constexpr int kRowsPerBlock = KERNEL_GROUPS * kGroupRows;
constexpr int kPairsPerBlock = kRowsPerBlock / 2;
using Group = Mxfp4Group<MODEL_HIDDEN, 1>;
static_assert(kPairsPerBlock <= kThreads, "a thread a pair");

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    slot_gate_up(const u8* step, const u8* codes, const u8* scales, const float* bias, const float* gain,
                 const float* residual, const float* logits, u8* output, u32 slots) {
  alignas(16) __shared__ u8 vector[kVectorBytes<MODEL_HIDDEN>];
  __shared__ float sums[KERNEL_GROUPS][Group::kSumFloats];
  __shared__ float teamSquares[kTeams];
  const int slot = static_cast<int>(block_index() % slots);
  const int row = slot / MODEL_TOP_K;
  const int thread = static_cast<int>(thread_index());
  if (row >= step_word(step, STEP_ROWS)) return;
  // The kernel before is gate.hip, which leaves the stream as it is.
  float values[kRowTurns][kPieceColumns];
  float squares = 0.0f;
#pragma unroll
  for (int turn = 0; turn < kRowTurns; turn++) {
    if (!has_row_piece(turn)) continue;
    const float* from = residual + static_cast<u64>(row) * MODEL_HIDDEN + row_column(turn);
    load_written_four(from, values[turn]);
    load_written_four(from + 4, values[turn] + 4);
    squares = add_squares(values[turn], squares);
  }
  squares = team_sum(squares);
  if (lane_of_team() == 0) teamSquares[team_of_block()] = squares;
  block_barrier();
  const float scale = norm_scale<MODEL_HIDDEN>(sum_of_teams<1>(teamSquares));
#pragma unroll
  for (int turn = 0; turn < kRowTurns; turn++) {
    if (!has_row_piece(turn)) continue;
    float gains[kPieceColumns];
    load_eight(gain + row_column(turn), gains);
#pragma unroll
    for (int i = 0; i < kPieceColumns; i++) values[turn][i] = normed_value(values[turn][i], gains[i], scale);
    share_eight<MODEL_HIDDEN>(vector, row_column(turn), values[turn]);
  }
  block_barrier();

  logits = written_before(logits);
  let_kernel_after_begin();
  RoutedRow routed;
  routed.route(row, [&](int word) { return logits[word]; });
  const int blockRow = static_cast<int>(block_index() / slots) * kRowsPerBlock;
  const u64 firstRow = static_cast<u64>(routed.expert(slot % MODEL_TOP_K)) * kOutputs + blockRow;
  Group product;
  const auto codes_of = [&](int group) { return codes + (firstRow + group * kGroupRows) * (MODEL_HIDDEN / 2); };
  const auto scales_of = [&](int group) { return scales + (firstRow + group * kGroupRows) * (MODEL_HIDDEN / kBlockColumns); };
  product.load(codes_of(0), scales_of(0));
  float gateBias = 0.0f;
  float upBias = 0.0f;
  if (thread < kPairsPerBlock) {
    gateBias = bias[firstRow + 2 * thread];
    upBias = bias[firstRow + 2 * thread + 1];
  }
  const auto vectors = Group::vectors_of([&](int) { return vector; });
#pragma unroll 1
  for (int group = 0; group < KERNEL_GROUPS - 1; group++) {
    product.template multiply<true>(vectors, sums[group], codes_of(group + 1), scales_of(group + 1));
  }
  product.template multiply<false>(vectors, sums[KERNEL_GROUPS - 1], nullptr, nullptr);
  block_barrier();
  if (thread >= kPairsPerBlock) return;
  const float* own = sums[2 * thread / kGroupRows];
  const int rowOfGroup = 2 * thread % kGroupRows;
  const float gate = rounded_sum(Group::sum_of(own, rowOfGroup, 0), gateBias);
  const float up = rounded_sum(Group::sum_of(own, rowOfGroup + 1, 0), upBias);
  u8* to = output + static_cast<u64>(slot) * kVectorBytes<MODEL_INTERMEDIATE>;
  put_value<MODEL_INTERMEDIATE>(to, blockRow / 2 + thread, swiglu(gate, up));
}

}  // namespace ROUTER_NAMESPACE
