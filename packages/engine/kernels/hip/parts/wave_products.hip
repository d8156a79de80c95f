// The sums of tile_products.hip, wave by wave: a wave reads its tiles of a step from shared memory and multiplies them.

namespace ROUTER_NAMESPACE {

static_assert(kStages * (kTokenGranules + kWeightGranules) * 16 <= KERNEL_SHARED_BYTES, "a block has room for its operands");

// Sums of all steps. `tiles` is how many of the wave's tiles of tokens have any.
struct TileProducts {
  TileSum sums[kTokenTiles][kRowTiles];

  template <class Tokens, class Weights>
  ENGINE_METHOD void multiply(Tokens& tokens, const Words4* tokenTiles, Weights& weights, const Words4* weightTiles,
                              int steps, int tiles) {
#pragma unroll
    for (int t = 0; t < kTokenTiles; t++) {
#pragma unroll
      for (int r = 0; r < kRowTiles; r++) sums[t][r] = zero_sum();
    }
    begin_operand(tokens, steps);
    begin_operand(weights, steps);
#pragma unroll
    for (int step = 0; step < kStages - 1; step++) {
      before_step(tokens, step, steps);
      before_step(weights, step, steps);
      commit_copies();
    }
    const Words4* ownTokens = tokenTiles + first_token_of_tile(0) / kTileSize * kTileGranules;
    const Words4* ownWeights = weightTiles + first_row_of_wave() / kTileSize * kTileGranules;
    // Most waves have all of their tokens, and a loop without branches between tiles.
    if (tiles == kTokenTiles) add_steps<true>(tokens, ownTokens, weights, ownWeights, steps, tiles);
    else add_steps<false>(tokens, ownTokens, weights, ownWeights, steps, tiles);
  }

  template <bool HAS_ALL, class Tokens, class Weights>
  ENGINE_METHOD void add_steps(Tokens& tokens, const Words4* tokenTiles, Weights& weights, const Words4* weightTiles,
                               int steps, int tiles) {
    int tokenBuffer = 0;
    int weightBuffer = 0;
#pragma unroll 1
    for (int step = 0; step < steps; step++) {
      wait_for_copies<kStages - 2>();
      block_barrier();
      before_step(tokens, step + kStages - 1, steps);
      before_step(weights, step + kStages - 1, steps);
      commit_copies();
      add_step<HAS_ALL>(tokenTiles + tokenBuffer * kTokenGranules, weightTiles + weightBuffer * kWeightGranules, tiles);
      tokenBuffer = tokenBuffer + 1 == Tokens::kBuffers ? 0 : tokenBuffer + 1;
      weightBuffer = weightBuffer + 1 == Weights::kBuffers ? 0 : weightBuffer + 1;
      after_step(tokens, step, steps);
      after_step(weights, step, steps);
    }
  }

  template <bool HAS_ALL>
  ENGINE_METHOD void add_step(const Words4* tokenTiles, const Words4* weightTiles, int tiles) {
    WeightTile rows[kRowTiles];
#pragma unroll
    for (int r = 0; r < kRowTiles; r++) rows[r] = load_weights(weightTiles + r * kTileGranules);
#pragma unroll
    for (int t = 0; t < kTokenTiles; t++) {
      if (!HAS_ALL && t >= tiles) continue;
#pragma unroll
      for (int term = 0; term < kTerms; term++) {
        const TokenTile own = load_tokens(tokenTiles + term * kTermGranules + t * kTileGranules);
        multiply_tiles<kRowTiles>(sums[t], rows, own);
      }
    }
  }

  // A lane's row `index` of token t of the wave's tile `tile`.
  ENGINE_METHOD float sum_of(int tile, int t, int index) const {
    return sums[tile][index / kRowsPerPart].values[sum_index(t, index % kRowsPerPart)];
  }
};

}  // namespace ROUTER_NAMESPACE
