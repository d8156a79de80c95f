// down.hip for many rows, by row groups: slots as gate_up_row_groups.hip leaves them, bf16 [rows * K, KERNEL_TERMS *
// intermediate] in the order of the dispatch plan, to f32 [rows * K, hidden], a slot (token * K + k) a row.

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, KERNEL_RESIDENT)
    expert_down_row_groups(const u8* codes, const u8* scales, const float* bias, const u8* activated, const i32* list,
                           const i32* sortedSlots, float* output) {
  Words4* const tokenTiles = reinterpret_cast<Words4*>(dynamic_memory());
  list = reinterpret_cast<const i32*>(once_kernel_before_is_done(reinterpret_cast<const u8*>(list)));
  let_kernel_after_begin();
  const ExpertPlace place = expert_place<MODEL_HIDDEN>(list);
  if (place.expert < 0) return;
  const auto rows = lane_rows<MODEL_HIDDEN, MODEL_INTERMEDIATE>(codes, scales, place.expert, place.row);
  using Tokens = ArrangedTokens<MODEL_INTERMEDIATE>;
  constexpr int kSlotBytes = kTerms * kArrangedColumns<MODEL_INTERMEDIATE> * 2;
  Tokens tokens;
  tokens.begin(tokenTiles);
#pragma unroll
  for (int own = 0; own < Tokens::kOwn; own++) {
    const u64 slot = static_cast<u64>(place.first + smaller(Tokens::token_of(own), place.count - 1));
    tokens.begin_row(own, activated + slot * kSlotBytes, place.count);
  }
  RowGroupSums products;
  products.multiply(tokens, tokenTiles, rows, place.count);

  const int row = place.row + first_row_of_lane();
  if (row >= MODEL_HIDDEN) return;
  const float* biases = bias + static_cast<u64>(place.expert) * MODEL_HIDDEN + row;
  const float ofFirst = biases[0];
  const float ofSecond = biases[1];
#pragma unroll
  for (int i = 0; i < kSums; i++) {
    if (i * kSumTokens >= place.count) break;
    const float* sums = products.sums[i];
#pragma unroll
    for (int t = 0; t < 2; t++) {
      const int token = i * kSumTokens + lane_of_wave() % 4 * 2 + t;
      if (token >= place.count) continue;
      const int slot = sortedSlots[place.first + token];
      float* to = output + static_cast<u64>(slot) * MODEL_HIDDEN + row;
      Words2 words;
      words.x = float_to_bits(rounded_sum(sums[t], ofFirst));
      words.y = float_to_bits(rounded_sum(sums[2 + t], ofSecond));
      *reinterpret_cast<Words2*>(to) = words;
    }
  }
}

}  // namespace ROUTER_NAMESPACE
