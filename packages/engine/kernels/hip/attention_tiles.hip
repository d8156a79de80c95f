// attention.hip for many rows of a sequence, by matrix tiles: queries bf16 [rows, heads * head size], rotated; output
// bf16 [rows, heads * head size].
//
// A block takes a run of neighbouring rows of one sequence and a KV head with the query heads that share it. Keys come in
// turns of kTurnKeys that begin at multiples of it; a query's sum starts at its sink, and a key that it does not see
// changes no bit of it. So a row's result does not depend on where its prompt was cut into runs.

namespace ROUTER_NAMESPACE {

constexpr int kGroup = MODEL_HEADS / MODEL_KV_HEADS;
constexpr int kWaves = kThreads / kWaveSize;
constexpr int kTurnKeys = 64;
constexpr int kKeyTiles = kTurnKeys / kTileSize;
constexpr int kKeySteps = kTurnKeys / kTileColumns;
constexpr int kHeadTiles = kHeadDim / kTileSize;
constexpr int kHeadSteps = kHeadDim / kTileColumns;
// Tiles of 16 queries of one head.
constexpr int kQueryTiles = kGroup * KERNEL_QUERIES / kTileSize;
constexpr int kOwnTiles = (kQueryTiles + kWaves - 1) / kWaves;
constexpr int kKeyGranules = kTurnKeys * kHeadDim / 8;
constexpr int kQueryGranules = kQueryTiles * kTileSize * kHeadDim / 8;
constexpr int kSharedGranules = kQueryGranules > 2 * kKeyGranules ? kQueryGranules : 2 * kKeyGranules;
constexpr float kLog2E = 1.44269504088896340736f;
// Logits begin at the sink or here: a sink may be -Inf, and so may be all logits of a turn.
constexpr float kLeastLogit = -3e38f;
static_assert(kHeadDim == 64, "a piece of a head's eight is told by three bits");

ROUTER_INLINE Words4 as_bf16(const float* values) {
  Words4 words;
  words.x = bf16_pair(values[0], values[1]);
  words.y = bf16_pair(values[2], values[3]);
  words.z = bf16_pair(values[4], values[5]);
  words.w = bf16_pair(values[6], values[7]);
  return words;
}

// Eight neighbouring elements of a key or a value, which share a scale; zeros where that is 0.
struct Eight {
  Words4 codes;
  u32 scale;

  ENGINE_METHOD void widen(float* elements) const { scale_codes(codes, low_bf16(scale), elements); }
};

// Keys first .. last of a row's sequence, as the weights of both products; zeros where there are others.
struct KeyLoader {
  const u8* step;
  // Of the layer and KV head, in the KV block that has number 0.
  const KvElement* ofHead;
  i32 table;
  int first;
  int last;

  ENGINE_METHOD Eight load(u32 behindKeys, int key, int piece) const {
    Eight eight = {};
    if (key < first || key > last) return eight;
    const i32 block = step_word(step, table + key / kBlockPositions);
    const KvElement* head = ofHead + static_cast<u64>(block) * kKvBlockElements + behindKeys;
    eight.codes = *reinterpret_cast<const Words4*>(head + codes_of(key) + piece * 8);
    eight.scale = head[scales_of(key) + scale_of_element(piece * 8)];
    return eight;
  }

  // Keys as rows of kKeyTiles x kHeadSteps tiles, and values as kHeadTiles x kKeySteps, whose rows are a head's elements
  // and whose columns keys in the order in which sums become tokens. All is asked for before any of it is stored.
  ENGINE_METHOD void bring(int turnKey, Words4* keyTiles, Words4* valueTiles) const {
    constexpr int kOwnKeys = kKeyGranules / kThreads;
    constexpr int kOwnPairs = kOwnKeys / 2;
    static_assert(kOwnPairs * 2 * kThreads == kKeyGranules, "threads have whole pairs of keys");
    const int thread = static_cast<int>(thread_index());
    Eight keys[kOwnKeys];
    Eight values[kOwnPairs][2];
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
      tile[tile_granule(key % kTileSize, piece % kTilePieces)] = as_bf16(elements);
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
        u32* granule = reinterpret_cast<u32*>(tile + tile_granule(element % kTileSize, column / 8));
        granule[column % 8 / 2] = bf16_pair(elements[0][i], elements[1][i]);
      }
    }
  }

  // Neighbouring threads take neighbouring pairs of keys, whose values share a row of a tile.
  ROUTER_INLINE int pair_key(int item) { return item % (kTurnKeys / 2) * 2; }
};

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    attend_tiles(const u8* step, const u8* queries, const KvElement* cache, const float* sinks, u32* output, u32 runs,
                 u32 layer, u32 isWindow) {
  alignas(16) __shared__ Words4 shared[kSharedGranules];
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
  for (int item = static_cast<int>(thread_index()); item < kQueryGranules; item += kThreads) {
    const int piece = item % 8;
    const int token = item / 8 % kTileSize;
    const int tile = item / 8 / kTileSize;
    const int row = firstRow + smaller(tile / kGroup * kTileSize + token, count - 1);
    const int head = kvHead * kGroup + tile % kGroup;
    const u8* from = queries + ((static_cast<u64>(row) * MODEL_HEADS + head) * kHeadDim + piece * 8) * 2;
    shared[(tile * kHeadSteps + piece / kTilePieces) * kTileGranules + tile_granule(token, piece % kTilePieces)] =
        *reinterpret_cast<const Words4*>(from);
  }
  block_barrier();
  const int wave = static_cast<int>(thread_index() / kWaveSize);
  TokenTile own[kOwnTiles][kHeadSteps];
  TileSum values[kOwnTiles][kHeadTiles];
  float most[kOwnTiles][kTokensPerLane];
  // Of the keys of this lane's part; the sink counts with the first.
  float totals[kOwnTiles][kTokensPerLane];
#pragma unroll
  for (int t = 0; t < kOwnTiles; t++) {
    const int tile = smaller(wave + t * kWaves, kQueryTiles - 1);
    const float sink = rounded_product(sinks[kvHead * kGroup + tile % kGroup], kLog2E);
#pragma unroll
    for (int s = 0; s < kHeadSteps; s++) own[t][s] = load_tokens(shared + (tile * kHeadSteps + s) * kTileGranules);
#pragma unroll
    for (int d = 0; d < kHeadTiles; d++) values[t][d] = zero_sum();
#pragma unroll
    for (int i = 0; i < kTokensPerLane; i++) {
      most[t][i] = larger(sink, kLeastLogit);
      totals[t][i] = part_of_lane() == 0 ? exp2_approximate(sink - most[t][i]) : 0.0f;
    }
  }

  Words4* keyTiles = shared;
  Words4* valueTiles = shared + kKeyGranules;
#pragma unroll 1
  for (int turnKey = keys.first / kTurnKeys * kTurnKeys; turnKey <= keys.last; turnKey += kTurnKeys) {
    block_barrier();
    keys.bring(turnKey, keyTiles, valueTiles);
    block_barrier();
    TileSum logits[kOwnTiles][kKeyTiles];
#pragma unroll
    for (int k = 0; k < kKeyTiles; k++) {
#pragma unroll
      for (int t = 0; t < kOwnTiles; t++) logits[t][k] = zero_sum();
#pragma unroll
      for (int s = 0; s < kHeadSteps; s++) {
        const WeightTile tile = load_weights(keyTiles + (k * kHeadSteps + s) * kTileGranules);
#pragma unroll
        for (int step = 0; step < kTileSteps; step++) {
#pragma unroll
          for (int t = 0; t < kOwnTiles; t++) multiply_step(logits[t][k], tile, own[t][s], step);
        }
      }
    }
    const bool seesAll = isWindow == 0 && turnKey + kTurnKeys <= position + 1;
#pragma unroll
    for (int t = 0; t < kOwnTiles; t++) {
      const int tile = smaller(wave + t * kWaves, kQueryTiles - 1);
#pragma unroll
      for (int i = 0; i < kTokensPerLane; i++) {
        const int query = position + tile / kGroup * kTileSize + token_of_lane(i);
        float larger_of_turn = -kInfinity;
#pragma unroll
        for (int k = 0; k < kKeyTiles; k++) {
#pragma unroll
          for (int r = 0; r < kRowsPerPart; r++) {
            float& logit = logits[t][k].values[sum_index(i, r)];
            logit = rounded_product(logit, kLog2E * 0.125f);
            if (!seesAll) {
              const int key = turnKey + k * kTileSize + row_of_part(part_of_lane(), r);
              const bool isSeen = key <= query && (isWindow == 0 || key > query - MODEL_WINDOW);
              logit = isSeen ? logit : -kInfinity;
            }
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
            float& logit = logits[t][k].values[sum_index(i, r)];
            logit = exp2_approximate(logit - most[t][i]);
            total += logit;
          }
        }
        totals[t][i] = multiply_add(totals[t][i], factor, total);
#pragma unroll
        for (int d = 0; d < kHeadTiles; d++) {
#pragma unroll
          for (int r = 0; r < kRowsPerPart; r++) {
            float& value = values[t][d].values[sum_index(i, r)];
            value = rounded_product(value, factor);
          }
        }
      }
    }
#pragma unroll
    for (int s = 0; s < kKeySteps; s++) {
      TokenTile shares[kOwnTiles];
#pragma unroll
      for (int t = 0; t < kOwnTiles; t++) shares[t] = as_tokens(logits[t][2 * s], logits[t][2 * s + 1]);
#pragma unroll
      for (int d = 0; d < kHeadTiles; d++) {
        const WeightTile tile = load_weights(valueTiles + (d * kKeySteps + s) * kTileGranules);
#pragma unroll
        for (int step = 0; step < kTileSteps; step++) {
#pragma unroll
          for (int t = 0; t < kOwnTiles; t++) multiply_step(values[t][d], tile, shares[t], step);
        }
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
      u32* to = output + (static_cast<u64>(firstRow + query) * MODEL_HEADS + head) * (kHeadDim / 2);
#pragma unroll
      for (int d = 0; d < kHeadTiles; d++) {
#pragma unroll
        for (int r = 0; r < kRowsPerPart; r += 2) {
          const float low = rounded_product(values[t][d].values[sum_index(i, r)], share);
          const float high = rounded_product(values[t][d].values[sum_index(i, r + 1)], share);
          to[(d * kTileSize + row_of_part(part_of_lane(), r)) / 2] = bf16_pair(low, high);
        }
      }
    }
  }
}

}  // namespace ROUTER_NAMESPACE
