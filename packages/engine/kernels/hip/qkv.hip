// Norm, query, key and value projections, rotary embedding; keys and values go to the KV cache.
//
//   heads = (x * gain) W^T / sqrt(mean(x^2) + epsilon) + bias
//
// Each team forms the sum of squares on its way, so that the norm costs no pass of its own. Its two rows are those that
// turn with each other: element i of a head's first half and of its second, by the angle of the row's position. Cosines
// and sines are f32 [positions, head size / 2], YaRN's factor included. Queries are written as f32 [rows, heads * head
// size].

namespace ROUTER_NAMESPACE {

constexpr int kPairs = MODEL_HEAD_DIM / 2;
static_assert(KERNEL_ROWS == 2, "a team has the two rows of a pair");
static_assert(kTeams == kScaledPairs, "a block has the elements that share a scale");

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    project_qkv(const u8* step, const u8* weight, const float* bias, const float* gain, const float* residual,
                const float* cosines, const float* sines, float* queries, KvElement* cache, u32 tiles, u32 layer,
                u32 isWindow) {
  const DensePlace place = dense_place(tiles);
  // The team's pair, counted over all heads; its first row is in the first half of the head.
  const int head = place.row / 2 / kPairs;
  const int pair = place.row / 2 % kPairs;
  const u8* rows = weight + static_cast<u64>(head * MODEL_HEAD_DIM + pair) * MODEL_HIDDEN * 2;
  DenseRows<MODEL_HIDDEN, 2, KERNEL_VECTORS, KERNEL_AHEAD, kPairs> dot;
  dot.begin(rows);
  const int count = step_word(step, STEP_ROWS);
  if (place.vector >= count) return;
  // What a lane's value goes through and where it goes: known before the rows are.
  const OwnPlace own = own_place(place, count);
  const int ownVector = smaller(own.vector, count - 1);
  const int half = lane_of_team() % 2;
  const int element = half * kPairs + pair;
  const int at = head * MODEL_HEAD_DIM + element;
  const float ownBias = bias[at];
  const int position = step_word(step, STEP_POSITIONS + ownVector);
  const bool isTurned = head < MODEL_HEADS + MODEL_KV_HEADS;
  const u64 angle = static_cast<u64>(position) * kPairs + pair;
  const float cosine = isTurned ? cosines[angle] : 1.0f;
  const float sine = isTurned ? sines[angle] : 0.0f;
  KvElement* kept = cache;
  if (head >= MODEL_HEADS) {
    const i32 block = step_word(step, table_of_row(step, isWindow, ownVector) + position / kBlockPositions);
    kept += kv_head(block, layer, isTurned ? kKeys : kValues, (head - MODEL_HEADS) % MODEL_KV_HEADS);
  }
  residual = written_before(residual);
  let_kernel_after_begin();
  const float* vectors[KERNEL_VECTORS];
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) {
    vectors[i] = residual + static_cast<u64>(smaller(place.vector + i, count - 1)) * MODEL_HIDDEN;
  }
  dot.multiply<true>(rows, vectors, gain);
  const float value = multiply_add(dot.ownSum, norm_scale<MODEL_HIDDEN>(dot.ownSquares), ownBias);
  const float partner = from_other_half<1>(value);
  const float turned =
      isTurned ? multiply_add(value, cosine, rounded_product(partner, half == 0 ? -sine : sine)) : value;
  if (head < MODEL_HEADS) {
    if (own.isOwned) queries[static_cast<u64>(own.vector) * MODEL_HEADS * MODEL_HEAD_DIM + at] = turned;
    return;
  }
  u32 most = 0;
  if constexpr (kHasScales) {
    // Of a vector's elements, the largest of each team's pair.
    __shared__ u32 magnitudes[KERNEL_VECTORS][kTeams];
    const u32 ofPair = larger(magnitude_bits(turned), magnitude_bits(from_other_half<1>(turned)));
    const u32* ofVector = magnitudes[ownVector - place.vector];
    if (own.isOwned && half == 0) magnitudes[ownVector - place.vector][team_of_block()] = ofPair;
    block_barrier();
#pragma unroll
    for (int team = 0; team < kTeams; team++) most = larger(most, ofVector[team]);
  }
  if (!own.isOwned) return;
  KvScale scale;
  scale.take(most);
  scale.keep(kept, position, element, turned);
  if (pair % kScaledPairs == 0 && half == 0) scale.keep_itself(kept, position, element);
}

}  // namespace ROUTER_NAMESPACE
