// gate_up.hip for many rows, by row groups: normed rows as arranged_columns.hip has them, bf16 [rows, KERNEL_TERMS * hidden],
// to the same of slots, bf16 [rows * K, KERNEL_TERMS * intermediate] in the order of the dispatch plan, which
// down_row_groups.hip reads.

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = 2 * MODEL_INTERMEDIATE;
constexpr int kArrangedHidden = kArrangedColumns<MODEL_HIDDEN>;
constexpr int kArrangedIntermediate = kArrangedColumns<MODEL_INTERMEDIATE>;
// Words of a slot's row.
constexpr int kSlotWords = kTerms * kArrangedIntermediate / 2;
static_assert(MODEL_INTERMEDIATE % kBlockColumns == 0, "a group has a block of what comes out, or none");

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, KERNEL_RESIDENT)
    expert_gate_up_row_groups(const u8* codes, const u8* scales, const float* bias, const u8* normed, const i32* list,
                              const i32* sortedSlots, u32* output) {
  Words4* const tokenTiles = reinterpret_cast<Words4*>(dynamic_memory());
  list = reinterpret_cast<const i32*>(once_kernel_before_is_done(reinterpret_cast<const u8*>(list)));
  let_kernel_after_begin();
  const ExpertPlace place = expert_place<kOutputs>(list);
  if (place.expert < 0) return;
  const auto rows = lane_rows<kOutputs, MODEL_HIDDEN>(codes, scales, place.expert, place.row);
  using Tokens = ArrangedTokens<MODEL_HIDDEN>;
  Tokens tokens;
  tokens.begin(tokenTiles);
#pragma unroll
  for (int own = 0; own < Tokens::kOwn; own++) {
    const int token = smaller(Tokens::token_of(own), place.count - 1);
    const int row = sortedSlots[place.first + token] / MODEL_TOP_K;
    tokens.begin_row(own, normed + static_cast<u64>(row) * kTerms * kArrangedHidden * 2, place.count);
  }
  RowGroupSums products;
  products.multiply(tokens, tokenTiles, rows, place.count);

  u32* const slots = output + static_cast<u64>(place.first) * kSlotWords;
  // Zeros behind the last column, by the block of the last rows.
  constexpr int kZeroBlocks = (kArrangedIntermediate - MODEL_INTERMEDIATE) / kBlockColumns;
  if constexpr (kZeroBlocks > 0) {
    constexpr int kZeroWords = kTerms * kZeroBlocks * (kBlockColumns / 2);
    const int items = place.row + kBlockRows >= kOutputs ? place.count * kZeroWords : 0;
    for (int item = static_cast<int>(thread_index()); item < items; item += kThreads) {
      const int word = item % kZeroWords;
      const int pair = word % 4;
      const int ofBlock = word / 4 % 4;
      const int block = MODEL_INTERMEDIATE / kBlockColumns + word / 16 % kZeroBlocks;
      const int term = word / 16 / kZeroBlocks;
      u32* slot = slots + static_cast<u64>(item / kZeroWords) * kSlotWords;
      slot[term * (kArrangedIntermediate / 2) + arranged_place(block, ofBlock) + pair * kPairDistance] = 0;
    }
  }
  const int row = place.row + first_row_of_lane();
  if (row >= kOutputs) return;
  const float* biases = bias + static_cast<u64>(place.expert) * kOutputs + row;
  const float ofGate = biases[0];
  const float ofUp = biases[1];
  // Of lanes whose columns make a pair, the first stores that of the first token and the other that of the second.
  const int lane = lane_of_wave();
  const bool isHigh = lane / 16 != 0;
  const int wave = static_cast<int>(thread_index() / kWaveSize);
  const int block = place.row / (2 * kBlockColumns) + wave / kGroupWaves;
  const int at = arranged_place(block, wave % kGroupWaves) + lane / 4 % 4 * kPairDistance;
#pragma unroll
  for (int i = 0; i < kSums; i++) {
    if (i * kSumTokens >= place.count) break;
    const float* sums = products.sums[i];
    const float first = swiglu(rounded_sum(sums[0], ofGate), rounded_sum(sums[2], ofUp));
    const float second = swiglu(rounded_sum(sums[1], ofGate), rounded_sum(sums[3], ofUp));
    const float theirs = from_other_half<16>(isHigh ? first : second);
    const int token = i * kSumTokens + lane % 4 * 2 + (isHigh ? 1 : 0);
    if (token >= place.count) continue;
    float pair[2] = {isHigh ? theirs : first, isHigh ? second : theirs};
    u32* slot = slots + static_cast<u64>(token) * kSlotWords + at;
#pragma unroll
    for (int term = 0; term < kTerms; term++) slot[term * (kArrangedIntermediate / 2)] = take_pair(pair);
  }
}

}  // namespace ROUTER_NAMESPACE
