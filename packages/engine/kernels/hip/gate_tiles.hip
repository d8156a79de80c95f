// The gate projection for many rows, by matrix tiles: router logits, f32 [rows, experts], of normed rows in the terms
// that activations are split into, bf16 [rows, KERNEL_TERMS * hidden], whatever other products take: one rounding of the
// activations decides no expert.

namespace ROUTER_NAMESPACE {

static_assert(kTerms > 1, "rows are split");

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    project_gate_tiles(const u8* step, const u8* weight, const float* bias, const u8* normed, float* logits) {
  Words4* const tokenTiles = reinterpret_cast<Words4*>(dynamic_memory());
  Words4* const weightTiles = tokenTiles + kStages * kTokenGranules;
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const BlockPlace place = block_place<MODEL_EXPERTS>();
  const int count = step_word(step, STEP_ROWS) - place.token;
  if (count <= 0) return;
  auto tokens = token_operand<MODEL_HIDDEN>(normed, place.token, count, tokenTiles);
  auto weights = weight_operand<MODEL_EXPERTS, MODEL_HIDDEN, RowOrder::neighbours>(weight, place.row, weightTiles);
  TileProducts products;
  const bool hasRows = place.row + first_row_of_wave() < MODEL_EXPERTS;
  products.multiply(tokens, tokenTiles, weights, weightTiles, MODEL_HIDDEN / kTileColumns,
                    hasRows ? tiles_of_wave(count) : 0);

  const int first = place.row + first_row_of_wave() + part_of_lane() * kLaneRows;
#pragma unroll
  for (int tile = 0; tile < kTokenTiles; tile++) {
#pragma unroll
    for (int t = 0; t < kTokensPerLane; t++) {
      const int token = first_token_of_tile(tile) + token_of_lane(t);
      if (token >= count) continue;
      float* to = logits + static_cast<u64>(place.token + token) * MODEL_EXPERTS;
#pragma unroll
      for (int i = 0; i < kLaneRows; i++) {
        if (first + i < MODEL_EXPERTS) to[first + i] = rounded_sum(products.sum_of(tile, t, i), bias[first + i]);
      }
    }
  }
}

}  // namespace ROUTER_NAMESPACE
