// The experts' down projection and their weighted sum where a step has few rows: the vectors that
// `slot_gate_up.hip` leaves, one for each slot (token * K + k), to the residual stream f32 [rows, hidden]. A block takes a row and 16 columns of the stream, with
// all K experts of the row. The sums are those of down.hip and combine.hip. What was routed is written down: ids i32
// [rows, K] and weights f32 [rows, K].

namespace ROUTER_NAMESPACE {

using Group = Mxfp4Group<MODEL_INTERMEDIATE, 1>;

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    slot_down(const u8* step, const u8* codes, const u8* scales, const float* bias, const float* logits,
              const u8* activated, i32* ids, float* weights, float* residual, u32 rows) {
  alignas(16) __shared__ u8 vectors[MODEL_TOP_K][kVectorBytes<MODEL_INTERMEDIATE>];
  __shared__ float sums[MODEL_TOP_K][Group::kSumFloats];
  const int row = static_cast<int>(block_index() % rows);
  const int blockRow = static_cast<int>(block_index() / rows) * kGroupRows;
  if (row >= step_word(step, STEP_ROWS)) return;
  const int thread = static_cast<int>(thread_index());
  // The kernel before is slot_gate_up.hip; logits and the stream were there before it.
  RoutedRow routed;
  routed.route(row, [&](int word) { return load_written(logits + word); });
  Group product;
  const auto row_of = [&](int k) { return static_cast<u64>(routed.expert(k)) * MODEL_HIDDEN + blockRow; };
  const auto codes_of = [&](int k) { return codes + row_of(k) * (MODEL_INTERMEDIATE / 2); };
  const auto scales_of = [&](int k) { return scales + row_of(k) * (MODEL_INTERMEDIATE / kBlockColumns); };
  product.load(codes_of(0), scales_of(0));
  float* to = residual + static_cast<u64>(row) * MODEL_HIDDEN + blockRow + thread;
  float before = 0.0f;
  float biases[MODEL_TOP_K];
  if (thread < kGroupRows) {
    before = load_written(to);
#pragma unroll
    for (int k = 0; k < MODEL_TOP_K; k++) {
      biases[k] = bias[static_cast<u64>(routed.experts[k]) * MODEL_HIDDEN + blockRow + thread];
    }
  }

  activated = written_before(activated);
  let_kernel_after_begin();
  constexpr int kBytes = MODEL_TOP_K * kVectorBytes<MODEL_INTERMEDIATE>;
  copy_vectors<kBytes>(activated + static_cast<u64>(row) * kBytes, vectors[0]);
  if (blockRow == 0 && thread == 0) {
#pragma unroll
    for (int k = 0; k < MODEL_TOP_K; k++) {
      ids[row * MODEL_TOP_K + k] = routed.experts[k];
      weights[row * MODEL_TOP_K + k] = routed.weights[k];
    }
  }
  copies_are_there();
#pragma unroll 1
  for (int k = 0; k < MODEL_TOP_K - 1; k++) {
    const auto own = Group::vectors_of([&](int) { return vectors[k]; });
    product.template multiply<true>(own, sums[k], codes_of(k + 1), scales_of(k + 1));
  }
  const auto last = Group::vectors_of([&](int) { return vectors[MODEL_TOP_K - 1]; });
  product.template multiply<false>(last, sums[MODEL_TOP_K - 1], nullptr, nullptr);
  block_barrier();
  if (thread >= kGroupRows) return;
  float sum = 0.0f;
#pragma unroll
  for (int k = 0; k < MODEL_TOP_K; k++) {
    sum = multiply_add(routed.weights[k], rounded_sum(Group::sum_of(sums[k], thread, 0), biases[k]), sum);
  }
  *to = rounded_sum(before, sum);
}

}  // namespace ROUTER_NAMESPACE
