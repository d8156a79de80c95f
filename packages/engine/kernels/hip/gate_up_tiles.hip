// gate_up.hip for many rows, by matrix tiles: normed rows, bf16 [rows, NORMED_TERMS * hidden] of which the first
// KERNEL_TERMS are read, to bf16 [rows * K, KERNEL_TERMS * intermediate] in the order of the dispatch plan, which
// down_tiles.hip reads.

namespace ROUTER_NAMESPACE {

constexpr int kOutputs = 2 * MODEL_INTERMEDIATE;

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, KERNEL_RESIDENT)
    expert_gate_up_tiles(const u8* codes, const u8* scales, const float* bias, const u8* normed, const i32* list,
                         const i32* sortedSlots, u32* output) {
  Words4* const tokenTiles = reinterpret_cast<Words4*>(dynamic_memory());
  Words4* const weightTiles = tokenTiles + kStages * kTokenGranules;
  list = reinterpret_cast<const i32*>(once_kernel_before_is_done(reinterpret_cast<const u8*>(list)));
  let_kernel_after_begin();
  const ExpertPlace place = expert_place<kOutputs>(list);
  if (place.expert < 0) return;
  auto weights = expert_operand<kOutputs, MODEL_HIDDEN>(codes, scales, place.expert, place.row, weightTiles);
  using Tokens = TokenOperand<MODEL_HIDDEN>;
  Tokens tokens;
  tokens.begin(tokenTiles, place.count);
#pragma unroll
  for (int own = 0; own < Tokens::kOwn; own++) {
    const int token = smaller(Tokens::tile_of(own) * kTileSize + Tokens::row_of(own), place.count - 1);
    const int row = sortedSlots[place.first + token] / MODEL_TOP_K;
    tokens.begin_row(own, normed + static_cast<u64>(row) * NORMED_TERMS * MODEL_HIDDEN * 2);
  }
  TileProducts products;
  products.multiply(tokens, tokenTiles, weights, weightTiles, MODEL_HIDDEN / kTileColumns,
                    tiles_of_wave(place.count));

  const int first = place.row + first_row_of_wave() + part_of_lane() * kLaneRows;
  if (first >= kOutputs) return;
  float biases[kLaneRows];
#pragma unroll
  for (int i = 0; i < kLaneRows; i += 4) {
    load_four(bias + static_cast<u64>(place.expert) * kOutputs + first + i, biases + i);
  }
#pragma unroll
  for (int tile = 0; tile < kTokenTiles; tile++) {
#pragma unroll
    for (int t = 0; t < kTokensPerLane; t++) {
      const int token = first_token_of_tile(tile) + token_of_lane(t);
      if (token >= place.count) continue;
      u32* to = output + static_cast<u64>(place.first + token) * kTerms * MODEL_INTERMEDIATE / 2;
#pragma unroll
      for (int i = 0; i < kLaneRows; i += 4) {
        float activated[2];
#pragma unroll
        for (int j = 0; j < 2; j++) {
          const int pair = i + 2 * j;
          activated[j] = swiglu(rounded_sum(products.sum_of(tile, t, pair), biases[pair]),
                                rounded_sum(products.sum_of(tile, t, pair + 1), biases[pair + 1]));
        }
        store_terms<kTerms, MODEL_INTERMEDIATE>(to, first / 2 + i / 2, activated[0], activated[1]);
      }
    }
  }
}

}  // namespace ROUTER_NAMESPACE
