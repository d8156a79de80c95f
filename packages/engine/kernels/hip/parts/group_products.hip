// The sums of tile_products.hip, by groups of four waves that read a step's tiles together, and go on while they are
// multiplied (matrix_groups.hip).

namespace ROUTER_NAMESPACE {

static_assert(kCopiesAhead, "operands are copied");
static_assert(kStages * (kTokenGranules + kWeightGranules) * 16 <= KERNEL_SHARED_BYTES, "a block has room for its operands");
static_assert(kRowTiles == kGroupRowTiles, "a group has all rows of a block");

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
#pragma unroll
    for (int step = 0; step < kStages - 1; step++) {
      before_step(tokens, step, steps);
      before_step(weights, step, steps);
      commit_copies();
    }
    const int group = wave_of_block() / kGroupWaves;
    const Words4* ownTokens = tokenTiles + group * kTokenTiles * kGroupTokens / kTileSize * kTileGranules;
    if (tiles == kTokenTiles) add_steps<kTokenTiles>(tokens, ownTokens, weights, weightTiles, steps);
    else if (tiles == 0) add_steps<0>(tokens, ownTokens, weights, weightTiles, steps);
    else add_steps<kTokenTiles / 2>(tokens, ownTokens, weights, weightTiles, steps);
  }

  // Of TILES tiles of tokens.
  template <int TILES, class Tokens, class Weights>
  ENGINE_METHOD void add_steps(Tokens& tokens, const Words4* tokenTiles, Weights& weights, const Words4* weightTiles,
                               int steps) {
    int tokenBuffer = 0;
    int weightBuffer = 0;
#pragma unroll 1
    for (int step = 0; step < steps; step++) {
      wait_for_copies<kStages - 2>();
      show_to_groups();
      // Past the barrier nobody reads the step before any more: what comes in its place may be written.
      end_group_products<0>();
      block_barrier();
      begin_group_products();
#pragma unroll
      for (int t = 0; t < TILES; t++) {
        const Words4* own = tokenTiles + tokenBuffer * kTokenGranules + t * kGroupTokens / kTileSize * kTileGranules;
#pragma unroll
        for (int term = 0; term < kTerms; term++) {
          add_group_products(sums[t], own + term * kTermGranules, weightTiles + weightBuffer * kWeightGranules);
        }
      }
      close_group_products();
      before_step(tokens, step + kStages - 1, steps);
      before_step(weights, step + kStages - 1, steps);
      commit_copies();
      tokenBuffer = tokenBuffer + 1 == Tokens::kBuffers ? 0 : tokenBuffer + 1;
      weightBuffer = weightBuffer + 1 == Weights::kBuffers ? 0 : weightBuffer + 1;
    }
    end_group_products<0>();
  }

  // A lane's row `index` of token t of the wave's tile `tile`.
  ENGINE_METHOD float sum_of(int tile, int t, int index) const {
    return sums[tile][index / kRowsPerPart].values[sum_index(t, index % kRowsPerPart)];
  }
};

static_assert(kTokenTiles <= 2, "a group has all of its tiles of tokens, one or none");

}  // namespace ROUTER_NAMESPACE
