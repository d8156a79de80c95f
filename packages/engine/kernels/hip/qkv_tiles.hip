// qkv.hip for many rows, by matrix tiles: query, key and value projections of normed rows, bf16 [rows, KERNEL_TERMS *
// hidden], with rotary embedding; keys and values go to the KV cache, queries are written as bf16 [rows, KERNEL_TERMS *
// heads * head size].

namespace ROUTER_NAMESPACE {

constexpr int kPairs = MODEL_HEAD_DIM / 2;
constexpr int kQueryWidth = MODEL_HEADS * MODEL_HEAD_DIM;
constexpr int kOutputs = (MODEL_HEADS + 2 * MODEL_KV_HEADS) * MODEL_HEAD_DIM;
static_assert(MODEL_HEAD_DIM == kSpanRows && kWaveRows % kSpanRows == 0, "a wave has whole heads");
// A lane's elements: kHalf of the head's first half, and those that turn with them.
constexpr int kHalf = kSpanLaneRows / 2;
static_assert(kHalf % kScaledPairs == 0, "a lane has all elements of a scale");

// Where a block's heads go.
struct HeadOutputs {
  const u8* step;
  const float* bias;
  const float* cosines;
  const float* sines;
  u32* queries;
  KvElement* cache;
  u32 layer;
  u32 isWindow;
};

// Stores a lane's elements of a key or a value, kHalf of them from `first` on.
ROUTER_INLINE void keep_head(KvElement* to, int position, int first, const float* values) {
#pragma unroll
  for (int i = 0; i < kHalf; i += kScaledPairs) {
    u32 most = 0;
#pragma unroll
    for (int j = 0; j < kScaledPairs; j++) {
      most = larger(most, larger(magnitude_bits(values[i + j]), magnitude_bits(values[kHalf + i + j])));
    }
    KvScale scale;
    scale.take(most);
    scale.keep_eight(to, position, first + i, values + i);
    scale.keep_eight(to, position, kPairs + first + i, values + kHalf + i);
    scale.keep_itself(to, position, first + i);
  }
}

// Bias, rotary embedding and stores of the wave's head `own`.
template <class Products>
ROUTER_INLINE void finish_head(const HeadOutputs& outputs, const Products& products, const BlockPlace& place, int count,
                               int own) {
  const int head = (place.row + first_row_of_wave()) / MODEL_HEAD_DIM + own;
  if (head >= MODEL_HEADS + 2 * MODEL_KV_HEADS) return;
  const bool isRotated = head < MODEL_HEADS + MODEL_KV_HEADS;
  const int first = wave_row<RowOrder::halves>(part_of_lane(), 0);
  float biases[kSpanLaneRows];
#pragma unroll
  for (int i = 0; i < kSpanLaneRows; i++) {
    biases[i] = outputs.bias[head * MODEL_HEAD_DIM + wave_row<RowOrder::halves>(part_of_lane(), i)];
  }
#pragma unroll
  for (int tile = 0; tile < kTokenTiles; tile++) {
#pragma unroll
    for (int t = 0; t < kTokensPerLane; t++) {
      const int token = first_token_of_tile(tile) + token_of_lane(t);
      if (token >= count) continue;
      const int row = place.token + token;
      const int position = step_word(outputs.step, STEP_POSITIONS + row);
      float values[kSpanLaneRows];
#pragma unroll
      for (int i = 0; i < kSpanLaneRows; i++) {
        values[i] = rounded_sum(products.sum_of(tile, t, own * kSpanLaneRows + i), biases[i]);
      }
      if (isRotated) {
        const float* cosine = outputs.cosines + static_cast<u64>(position) * kPairs + first;
        const float* sine = outputs.sines + static_cast<u64>(position) * kPairs + first;
#pragma unroll
        for (int i = 0; i < kHalf; i++) {
          const float low = values[i];
          const float high = values[kHalf + i];
          values[i] = multiply_add(low, cosine[i], rounded_product(high, -sine[i]));
          values[kHalf + i] = multiply_add(high, cosine[i], rounded_product(low, sine[i]));
        }
      }
      if (head < MODEL_HEADS) {
        u32* to = outputs.queries + static_cast<u64>(row) * kTerms * (kQueryWidth / 2);
#pragma unroll
        for (int i = 0; i < kSpanLaneRows; i += 2) {
          const int element = wave_row<RowOrder::halves>(part_of_lane(), i);
          store_terms<kTerms, kQueryWidth>(to, head * MODEL_HEAD_DIM + element, values[i], values[i + 1]);
        }
        continue;
      }
      const i32 block =
          step_word(outputs.step, table_of_row(outputs.step, outputs.isWindow, row) + position / kBlockPositions);
      const int part = isRotated ? kKeys : kValues;
      keep_head(outputs.cache + kv_head(block, outputs.layer, part, (head - MODEL_HEADS) % MODEL_KV_HEADS), position,
                first, values);
    }
  }
}

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    project_qkv_tiles(const u8* step, const u8* weight, const float* bias, const u8* normed, const float* cosines,
                      const float* sines, u32* queries, KvElement* cache, u32 layer, u32 isWindow) {
  Words4* const tokenTiles = reinterpret_cast<Words4*>(dynamic_memory());
  Words4* const weightTiles = tokenTiles + kStages * kTokenGranules;
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const BlockPlace place = block_place<kOutputs>();
  const int count = step_word(step, STEP_ROWS) - place.token;
  if (count <= 0) return;
  auto tokens = token_operand<MODEL_HIDDEN>(normed, place.token, count, tokenTiles);
  auto weights = weight_operand<kOutputs, MODEL_HIDDEN, RowOrder::halves>(weight, place.row, weightTiles);
  TileProducts products;
  products.multiply(tokens, tokenTiles, weights, weightTiles, MODEL_HIDDEN / kTileColumns, tiles_of_wave(count));

  const HeadOutputs outputs = {step, bias, cosines, sines, queries, cache, layer, isWindow};
#pragma unroll
  for (int own = 0; own < kWaveRows / kSpanRows; own++) finish_head(outputs, products, place, count, own);
}

}  // namespace ROUTER_NAMESPACE
