// down.hip for many rows, by matrix tiles: bf16 [rows * K, KERNEL_TERMS * intermediate] in the order of the dispatch plan
// to f32 [rows * K, hidden], a slot (token * K + k) a row.

namespace ROUTER_NAMESPACE {

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, KERNEL_RESIDENT)
    expert_down_tiles(const u8* codes, const u8* scales, const float* bias, const u8* activated, const i32* list,
                      const i32* sortedSlots, float* output) {
  Words4* const tokenTiles = reinterpret_cast<Words4*>(dynamic_memory());
  Words4* const weightTiles = tokenTiles + kStages * kTokenGranules;
  list = reinterpret_cast<const i32*>(once_kernel_before_is_done(reinterpret_cast<const u8*>(list)));
  let_kernel_after_begin();
  const ExpertPlace place = expert_place<MODEL_HIDDEN>(list);
  if (place.expert < 0) return;
  auto weights =
      expert_operand<MODEL_HIDDEN, MODEL_INTERMEDIATE>(codes, scales, place.expert, place.row, weightTiles);
  auto tokens = token_operand<MODEL_INTERMEDIATE>(activated, place.first, place.count, tokenTiles);
  TileProducts products;
  products.multiply(tokens, tokenTiles, weights, weightTiles, MODEL_INTERMEDIATE / kTileColumns,
                    tiles_of_wave(place.count));

  const int first = place.row + first_row_of_wave() + part_of_lane() * kLaneRows;
  if (first >= MODEL_HIDDEN) return;
#pragma unroll
  for (int tile = 0; tile < kTokenTiles; tile++) {
#pragma unroll
    for (int t = 0; t < kTokensPerLane; t++) {
      const int token = first_token_of_tile(tile) + token_of_lane(t);
      if (token >= place.count) continue;
      const int slot = sortedSlots[place.first + token];
      float* to = output + static_cast<u64>(slot) * MODEL_HIDDEN + first;
#pragma unroll
      for (int i = 0; i < kLaneRows; i += 4) {
        float values[4];
        load_four(bias + static_cast<u64>(place.expert) * MODEL_HIDDEN + first + i, values);
#pragma unroll
        for (int j = 0; j < 4; j++) values[j] = rounded_sum(products.sum_of(tile, t, i + j), values[j]);
        store_four(to + i, values);
      }
    }
  }
}

}  // namespace ROUTER_NAMESPACE
