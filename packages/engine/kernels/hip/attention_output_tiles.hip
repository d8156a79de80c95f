// attention_output.hip for many rows, by matrix tiles: residual += attended W^T + bias, with attended bf16 [rows,
// KERNEL_TERMS * heads * head size].

namespace ROUTER_NAMESPACE {

constexpr int kInputs = MODEL_HEADS * MODEL_HEAD_DIM;

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    project_attention_tiles(const u8* step, const u8* weight, const float* bias, const u8* attended, float* residual) {
  Words4* const tokenTiles = reinterpret_cast<Words4*>(dynamic_memory());
  Words4* const weightTiles = tokenTiles + kStages * kTokenGranules;
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const BlockPlace place = block_place<MODEL_HIDDEN>();
  const int count = step_word(step, STEP_ROWS) - place.token;
  if (count <= 0) return;
  auto tokens = token_operand<kInputs>(attended, place.token, count, tokenTiles);
  auto weights = weight_operand<MODEL_HIDDEN, kInputs, RowOrder::neighbours>(weight, place.row, weightTiles);
  TileProducts products;
  products.multiply(tokens, tokenTiles, weights, weightTiles, kInputs / kTileColumns,
                    tiles_of_wave(count));

  const int first = place.row + first_row_of_wave() + part_of_lane() * kLaneRows;
  if (first >= MODEL_HIDDEN) return;
#pragma unroll
  for (int tile = 0; tile < kTokenTiles; tile++) {
#pragma unroll
    for (int t = 0; t < kTokensPerLane; t++) {
      const int token = first_token_of_tile(tile) + token_of_lane(t);
      if (token >= count) continue;
      float* to = residual + static_cast<u64>(place.token + token) * MODEL_HIDDEN + first;
#pragma unroll
      for (int i = 0; i < kLaneRows; i += 4) {
        float values[4];
        float biases[4];
        load_four(to + i, values);
        load_four(bias + first + i, biases);
#pragma unroll
        for (int j = 0; j < 4; j++) {
          values[j] = rounded_sum(values[j], rounded_sum(products.sum_of(tile, t, i + j), biases[j]));
        }
        store_four(to + i, values);
      }
    }
  }
}

}  // namespace ROUTER_NAMESPACE
