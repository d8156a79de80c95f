// Products of matrix tiles from their steps, for every form.

namespace ROUTER_NAMESPACE {

ROUTER_INLINE void multiply_tiles(TileSum& sum, const WeightTile& weights, const TokenTile& tokens) {
#pragma unroll
  for (int step = 0; step < kTileSteps; step++) multiply_step(sum, weights, tokens, step);
}

template <int COUNT>
ROUTER_INLINE void multiply_tiles(TileSum* sums, const WeightTile* weights, const TokenTile& tokens) {
#pragma unroll
  for (int step = 0; step < kTileSteps; step++) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) multiply_step(sums[i], weights[i], tokens, step);
  }
}

}  // namespace ROUTER_NAMESPACE
