// attention.hip for many rows of a sequence, by matrix tiles: queries bf16 [rows, KERNEL_TERMS * heads * head size],
// rotated; output bf16 [rows, KERNEL_TERMS * heads * head size].
//
// Queries, keys, shares and values are multiplied in KERNEL_TERMS terms of bf16, of which two have 16 bits of a number, and three
// all. What lies below the last term of an operand is left out of their products, too.
//
// A block takes a run of neighbouring rows of one sequence and a KV head with the query heads that share it. Keys come in
// turns of kTurnKeys that begin at multiples of it; a query's sum starts at its sink, and a key that it does not see
// changes no bit of it, unless its value is no finite number. So a row's result does not depend on where its prompt was cut into runs.

namespace ROUTER_NAMESPACE {

constexpr int kTerms = KERNEL_TERMS;
constexpr int kGroup = MODEL_HEADS / MODEL_KV_HEADS;
constexpr int kWidth = MODEL_HEADS * kHeadDim;
constexpr int kWaves = kThreads / kWaveSize;
constexpr int kTurnKeys = 64;
constexpr int kKeyTiles = kTurnKeys / kTileSize;
constexpr int kKeySteps = kTurnKeys / kTileColumns;
constexpr int kHeadTiles = kHeadDim / kTileSize;
constexpr int kHeadSteps = kHeadDim / kTileColumns;
// Tiles of 16 queries of one head.
constexpr int kQueryTiles = kGroup * KERNEL_QUERIES / kTileSize;
constexpr int kOwnTiles = (kQueryTiles + kWaves - 1) / kWaves;
// Of one term.
constexpr int kKeyGranules = kTurnKeys * kHeadDim / 8;
constexpr int kQueryGranules = kQueryTiles * kTileSize * kHeadDim / 8;
constexpr int kSharedGranules = kTerms * (kQueryGranules > 2 * kKeyGranules ? kQueryGranules : 2 * kKeyGranules);
constexpr float kLog2E = 1.44269504088896340736f;
// Logits begin at the sink or here: a sink may be -Inf, and so may be all logits of a turn.
constexpr float kLeastLogit = -3e38f;
static_assert(kHeadDim == 64, "a piece of a head's eight is told by three bits");

// As take_pair, of eight.
ROUTER_INLINE Words4 take_eight(float* left) {
  Words4 words;
  words.x = take_pair(left);
  words.y = take_pair(left + 2);
  words.z = take_pair(left + 4);
  words.w = take_pair(left + 6);
  return words;
}

// What the nearest bf16 leave of a lane's sums.
ROUTER_INLINE TileSum left_of(const TileSum& sum) {
  TileSum left = sum;
#pragma unroll
  for (int i = 0; i < kSumsPerLane; i += 2) take_pair(left.values + i);
  return left;
}

// A tile of weights that lies there in kTerms terms, kKeyGranules apart, times tokens in as many.
template <int COUNT>
ROUTER_INLINE void multiply_terms(TileSum (&sums)[COUNT], const Words4* weights,
                                  const TokenTile (&tokens)[kTerms][COUNT]) {
#pragma unroll
  for (int ofWeights = 0; ofWeights < kTerms; ofWeights++) {
    const WeightTile tile = load_weights(weights + ofWeights * kKeyGranules);
#pragma unroll
    for (int ofTokens = 0; ofTokens + ofWeights < kTerms; ofTokens++) {
#pragma unroll
      for (int step = 0; step < kTileSteps; step++) {
#pragma unroll
        for (int t = 0; t < COUNT; t++) multiply_step(sums[t], tile, tokens[ofTokens][t], step);
      }
    }
  }
}

// Keys first .. last of a row's sequence, as the weights of both products; zeros where there are others.
struct KeyLoader {
  const u8* step;
  // Of the layer and KV head, in the KV block that has number 0.
  const KvElement* ofHead;
  i32 table;
  int first;
  int last;

  ENGINE_METHOD KvEight load(u32 behindKeys, int key, int piece) const {
    KvEight eight = {};
    if (key < first || key > last) return eight;
    const i32 block = step_word(step, table + key / kBlockPositions);
    eight.load(ofHead + static_cast<u64>(block) * kKvBlockElements + behindKeys, key, piece * 8);
    return eight;
  }

  // Keys as rows of kKeyTiles x kHeadSteps tiles, and values as kHeadTiles x kKeySteps, whose rows are a head's elements
  // and whose columns keys in the order in which sums become tokens, term by term. All is asked for before any of it is
  // stored.
  ENGINE_METHOD void bring(int turnKey, Words4* keyTiles, Words4* valueTiles) const {
    constexpr int kOwnKeys = kKeyGranules / kThreads;
    constexpr int kOwnPairs = kOwnKeys / 2;
    static_assert(kOwnPairs * 2 * kThreads == kKeyGranules, "threads have whole pairs of keys");
    const int thread = static_cast<int>(thread_index());
    KvEight keys[kOwnKeys];
    KvEight values[kOwnPairs][2];
#pragma unroll
    for (int own = 0; own < kOwnKeys; own++) {
      const int item = own * kThreads + thread;
      keys[own] = load(0, turnKey + item / 8, item % 8);
    }
#pragma unroll
    for (int own = 0; own < kOwnPairs; own++) {
      const int item = own * kThreads + thread;
#pragma unroll
      for (int i = 0; i < 2; i++) {
        values[own][i] = load(kValuesBehindKeys, turnKey + pair_key(item) + i, item / (kTurnKeys / 2));
      }
    }
#pragma unroll
    for (int own = 0; own < kOwnKeys; own++) {
      const int item = own * kThreads + thread;
      const int key = item / 8;
      const int piece = item % 8;
      Words4* tile = keyTiles + (key / kTileSize * kHeadSteps + piece / kTilePieces) * kTileGranules;
      float elements[8];
      keys[own].widen(elements);
      tile += tile_granule(key % kTileSize, piece % kTilePieces);
#pragma unroll
      for (int term = 0; term < kTerms; term++) tile[term * kKeyGranules] = take_eight(elements);
    }
#pragma unroll
    for (int own = 0; own < kOwnPairs; own++) {
      const int item = own * kThreads + thread;
      const int key = pair_key(item);
      const int column = column_of_summed_row(key % kTileColumns);
      float elements[2][8];
#pragma unroll
      for (int i = 0; i < 2; i++) values[own][i].widen(elements[i]);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const int element = item / (kTurnKeys / 2) * 8 + i;
        Words4* tile = valueTiles + (element / kTileSize * kKeySteps + key / kTileColumns) * kTileGranules;
        tile += tile_granule(element % kTileSize, column / 8);
        float two[2] = {elements[0][i], elements[1][i]};
#pragma unroll
        for (int term = 0; term < kTerms; term++) {
          reinterpret_cast<u32*>(tile + term * kKeyGranules)[column % 8 / 2] = take_pair(two);
        }
      }
    }
  }

  // Neighbouring threads take neighbouring pairs of keys, whose values share a row of a tile.
  ROUTER_INLINE int pair_key(int item) { return item % (kTurnKeys / 2) * 2; }
};

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    attend_tiles(const u8* step, const u8* queries, const KvElement* cache, const float* sinks, u32* output, u32 runs,
                 u32 layer, u32 isWindow) {
  static_assert(kSharedGranules * 16 == KERNEL_SHARED_BYTES, "a block has room for its operands");
  Words4* const shared = reinterpret_cast<Words4*>(dynamic_memory());
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int kvHead = static_cast<int>(block_index() % MODEL_KV_HEADS);
  // Later rows see more keys: they come first.
  const int run = static_cast<int>(runs - 1 - block_index() / MODEL_KV_HEADS);
  const i32 entry = step_word(step, STEP_RUNS + run);
  const int firstRow = entry % STEP_RUN_FACTOR;
  const int count = entry / STEP_RUN_FACTOR;
  const int position = step_word(step, STEP_POSITIONS + firstRow);
  KeyLoader keys;
  keys.step = step;
  keys.ofHead = cache + kv_head(0, layer, kKeys, kvHead);
  keys.table = table_of_row(step, isWindow, firstRow);
  keys.first = isWindow != 0 ? larger(0, position - MODEL_WINDOW + 1) : 0;
  keys.last = position + count - 1;

  // Queries: tile by tile, 16 of a head. Past the last they repeat it.
  for (int item = static_cast<int>(thread_index()); item < kTerms * kQueryGranules; item += kThreads) {
    const int piece = item % 8;
    const int token = item / 8 % kTileSize;
    const int tile = item / 8 / kTileSize % kQueryTiles;
    const int term = item / kQueryGranules;
    const int row = firstRow + smaller(tile / kGroup * kTileSize + token, count - 1);
    const int head = kvHead * kGroup + tile % kGroup;
    const u8* from = queries + ((static_cast<u64>(row) * kTerms + term) * kWidth + head * kHeadDim + piece * 8) * 2;
    const int ofTile = (tile * kHeadSteps + piece / kTilePieces) * kTileGranules;
    shared[term * kQueryGranules + ofTile + tile_granule(token, piece % kTilePieces)] =
        *reinterpret_cast<const Words4*>(from);
  }
  block_barrier();
  const int wave = static_cast<int>(thread_index() / kWaveSize);
  TokenTile own[kHeadSteps][kTerms][kOwnTiles];
  TileSum values[kHeadTiles][kOwnTiles];
  float most[kOwnTiles][kTokensPerLane];
  // Of the keys of this lane's part; the sink counts with the first.
  float totals[kOwnTiles][kTokensPerLane];
#pragma unroll
  for (int t = 0; t < kOwnTiles; t++) {
    const int tile = smaller(wave + t * kWaves, kQueryTiles - 1);
    const float sink = rounded_product(sinks[kvHead * kGroup + tile % kGroup], kLog2E);
#pragma unroll
    for (int s = 0; s < kHeadSteps; s++) {
#pragma unroll
      for (int term = 0; term < kTerms; term++) {
        own[s][term][t] = load_tokens(shared + term * kQueryGranules + (tile * kHeadSteps + s) * kTileGranules);
      }
    }
#pragma unroll
    for (int d = 0; d < kHeadTiles; d++) values[d][t] = zero_sum();
#pragma unroll
    for (int i = 0; i < kTokensPerLane; i++) {
      most[t][i] = larger(sink, kLeastLogit);
      totals[t][i] = part_of_lane() == 0 ? exp2_approximate(sink - most[t][i]) : 0.0f;
    }
  }

  Words4* keyTiles = shared;
  Words4* valueTiles = keyTiles + kTerms * kKeyGranules;
#pragma unroll 1
  for (int turnKey = keys.first / kTurnKeys * kTurnKeys; turnKey <= keys.last; turnKey += kTurnKeys) {
    block_barrier();
    keys.bring(turnKey, keyTiles, valueTiles);
    block_barrier();
    TileSum logits[kKeyTiles][kOwnTiles];
#pragma unroll
    for (int k = 0; k < kKeyTiles; k++) {
#pragma unroll
      for (int t = 0; t < kOwnTiles; t++) logits[k][t] = zero_sum();
#pragma unroll
      for (int s = 0; s < kHeadSteps; s++) {
        multiply_terms(logits[k], keyTiles + (k * kHeadSteps + s) * kTileGranules, own[s]);
      }
    }
    // All keys of most turns are seen. One branch for all logits: compilers would make one for each.
    if (isWindow != 0 || turnKey + kTurnKeys > position + 1) {
#pragma unroll
      for (int t = 0; t < kOwnTiles; t++) {
        const int tile = smaller(wave + t * kWaves, kQueryTiles - 1);
#pragma unroll
        for (int i = 0; i < kTokensPerLane; i++) {
          const int query = position + tile / kGroup * kTileSize + token_of_lane(i);
#pragma unroll
          for (int k = 0; k < kKeyTiles; k++) {
#pragma unroll
            for (int r = 0; r < kRowsPerPart; r++) {
              const int key = turnKey + k * kTileSize + row_of_part(part_of_lane(), r);
              const bool isSeen = key <= query && (isWindow == 0 || key > query - MODEL_WINDOW);
              float& logit = logits[k][t].values[sum_index(i, r)];
              logit = isSeen ? logit : -kInfinity;
            }
          }
        }
      }
    }
#pragma unroll
    for (int t = 0; t < kOwnTiles; t++) {
#pragma unroll
      for (int i = 0; i < kTokensPerLane; i++) {
        float larger_of_turn = -kInfinity;
#pragma unroll
        for (int k = 0; k < kKeyTiles; k++) {
#pragma unroll
          for (int r = 0; r < kRowsPerPart; r++) {
            float& logit = logits[k][t].values[sum_index(i, r)];
            logit = rounded_product(logit, kLog2E * 0.125f);
            larger_of_turn = larger(larger_of_turn, logit);
          }
        }
        const float before = most[t][i];
        most[t][i] = larger(before, largest_of_parts(larger_of_turn));
        const float factor = exp2_approximate(before - most[t][i]);
        float total = 0.0f;
#pragma unroll
        for (int k = 0; k < kKeyTiles; k++) {
#pragma unroll
          for (int r = 0; r < kRowsPerPart; r++) {
            float& logit = logits[k][t].values[sum_index(i, r)];
            logit = exp2_approximate(logit - most[t][i]);
            total += logit;
          }
        }
        totals[t][i] = multiply_add(totals[t][i], factor, total);
#pragma unroll
        for (int d = 0; d < kHeadTiles; d++) {
#pragma unroll
          for (int r = 0; r < kRowsPerPart; r++) {
            float& value = values[d][t].values[sum_index(i, r)];
            value = rounded_product(value, factor);
          }
        }
      }
    }
#pragma unroll
    for (int s = 0; s < kKeySteps; s++) {
      TokenTile shares[kTerms][kOwnTiles];
#pragma unroll
      for (int t = 0; t < kOwnTiles; t++) {
        TileSum first = logits[2 * s][t];
        TileSum second = logits[2 * s + 1][t];
#pragma unroll
        for (int term = 0; term < kTerms; term++) {
          shares[term][t] = as_tokens(first, second);
          first = left_of(first);
          second = left_of(second);
        }
      }
#pragma unroll
      for (int d = 0; d < kHeadTiles; d++) {
        multiply_terms(values[d], valueTiles + (d * kKeySteps + s) * kTileGranules, shares);
      }
    }
  }

#pragma unroll
  for (int t = 0; t < kOwnTiles; t++) {
    const int tile = wave + t * kWaves;
#pragma unroll
    for (int i = 0; i < kTokensPerLane; i++) {
      const float share = reciprocal_approximate(sum_of_parts(totals[t][i]));
      const int query = tile / kGroup * kTileSize + token_of_lane(i);
      if (tile >= kQueryTiles || query >= count) continue;
      const int head = kvHead * kGroup + tile % kGroup;
      u32* to = output + static_cast<u64>(firstRow + query) * kTerms * (kWidth / 2);
#pragma unroll
      for (int d = 0; d < kHeadTiles; d++) {
#pragma unroll
        for (int r = 0; r < kRowsPerPart; r += 2) {
          const float low = rounded_product(values[d][t].values[sum_index(i, r)], share);
          const float high = rounded_product(values[d][t].values[sum_index(i, r + 1)], share);
          const int element = d * kTileSize + row_of_part(part_of_lane(), r);
          store_terms<kTerms, kWidth>(to, head * kHeadDim + element, low, high);
        }
      }
    }
  }
}

}  // namespace ROUTER_NAMESPACE
