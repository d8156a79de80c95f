// As qkv.hip, by products of bf16 tiles (dense_groups.hip). A group has eight pairs: elements of a head's first half, and
// those of its second that they turn with.

namespace ROUTER_NAMESPACE {

constexpr int kPairs = MODEL_HEAD_DIM / 2;
constexpr int kGroupPairs = kDenseGroupRows / 2;
constexpr int kBlockPairs = KERNEL_GROUPS * kGroupPairs;
static_assert(kPairs % kBlockPairs == 0, "a block's rows are of one head");
static_assert(kTeam % kBlockPairs == 0 && kGroupPairs == kScaledPairs, "lanes of a team share a vector's pairs, and scales");
// Vectors that a team finishes at once.
constexpr int kTeamVectors = kTeam / kBlockPairs;

// The largest of a scale's elements, of which each of kScaledPairs neighbouring lanes has two.
ROUTER_INLINE u32 largest_of_scale(const float (&two)[2]) {
  u32 most = larger(magnitude_bits(two[0]), magnitude_bits(two[1]));
  most = larger(most, static_cast<u32>(from_other_half<1>(static_cast<i32>(most))));
  most = larger(most, static_cast<u32>(from_other_half<2>(static_cast<i32>(most))));
  return larger(most, static_cast<u32>(from_other_half<4>(static_cast<i32>(most))));
}

extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, KERNEL_RESIDENT)
    project_qkv(const u8* step, const u8* weight, const float* bias, const float* gain, const float* residual,
                const float* cosines, const float* sines, float* queries, KvElement* cache, u32 tiles, u32 layer,
                u32 isWindow) {
  using Values = DenseValues<MODEL_HIDDEN, true>;
  __shared__ DenseSums shared;
  __shared__ Values::Shared sharedValues;
  const DensePlace place = dense_place(tiles);
  // Counted over all heads.
  const int head = place.row / MODEL_HEAD_DIM;
  const int firstPair = place.row / 2 % kPairs;
  DenseGroups<MODEL_HIDDEN> dot;
  dot.begin(weight, [&](int group, int row) {
    return head * MODEL_HEAD_DIM + row / kGroupPairs * kPairs + firstPair + group * kGroupPairs + row % kGroupPairs;
  });
  Values values;
  values.begin(gain);
  const int count = step_word(step, STEP_ROWS);
  if (place.vector >= count) return;
  const int thread = static_cast<int>(thread_index());
  // The threads are a multiple of a block's pairs.
  const int pair = firstPair + thread % kBlockPairs;
  const float firstBias = bias[head * MODEL_HEAD_DIM + pair];
  const float secondBias = bias[head * MODEL_HEAD_DIM + kPairs + pair];
  residual = written_before(residual);
  let_kernel_after_begin();
  const auto vector_of = [&](int index) { return residual + static_cast<u64>(place.vector + index) * MODEL_HIDDEN; };
  values.take(place.vector, count - place.vector, vector_of, sharedValues);
  dot.multiply(values, shared);
  values.leave_squares(shared, sharedValues);
  block_barrier();
  const bool isTurned = head < MODEL_HEADS + MODEL_KV_HEADS;
  const int row = thread % kBlockPairs / kGroupPairs * kDenseGroupRows + thread % kGroupPairs;
  // Lanes of a team go on together, since they exchange magnitudes: past the last vector they repeat it.
  const int vectors = smaller(KERNEL_VECTORS, count - place.vector);
  for (int first = team_of_block() * kTeamVectors; first < vectors; first += kTeams * kTeamVectors) {
    const int own = smaller(first + lane_of_team() / kBlockPairs, vectors - 1);
    const int vector = place.vector + own;
    const float scale = norm_scale<MODEL_HIDDEN>(shared.squares_of(own));
    const float low = multiply_add(shared.sum_of(own, row), scale, firstBias);
    const float high = multiply_add(shared.sum_of(own, row + kGroupPairs), scale, secondBias);
    const int position = step_word(step, STEP_POSITIONS + vector);
    float turned[2] = {low, high};
    if (isTurned) {
      const u64 angle = static_cast<u64>(position) * kPairs + pair;
      const float cosine = cosines[angle];
      const float sine = sines[angle];
      turned[0] = multiply_add(low, cosine, rounded_product(high, -sine));
      turned[1] = multiply_add(high, cosine, rounded_product(low, sine));
    }
    if (head < MODEL_HEADS) {
      float* to = queries + (static_cast<u64>(vector) * MODEL_HEADS + head) * MODEL_HEAD_DIM + pair;
      to[0] = turned[0];
      to[kPairs] = turned[1];
    } else {
      const i32 block = step_word(step, table_of_row(step, isWindow, vector) + position / kBlockPositions);
      const int kvHead = (head - MODEL_HEADS) % MODEL_KV_HEADS;
      KvElement* to = cache + kv_head(block, layer, isTurned ? kKeys : kValues, kvHead);
      KvScale kept;
      kept.take(largest_of_scale(turned));
      kept.keep(to, position, pair, turned[0]);
      kept.keep(to, position, pair + kPairs, turned[1]);
      if (pair % kScaledPairs == 0) kept.keep_itself(to, position, pair);
    }
  }
}

}  // namespace ROUTER_NAMESPACE
