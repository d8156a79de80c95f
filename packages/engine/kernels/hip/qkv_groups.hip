// As qkv.hip, by products of bf16 tiles (dense_groups.hip). A group has eight pairs: elements of a head's first half, and
// those of its second that they turn with.

namespace ROUTER_NAMESPACE {

constexpr int kPairs = MODEL_HEAD_DIM / 2;
constexpr int kGroupPairs = kDenseGroupRows / 2;
constexpr int kBlockPairs = KERNEL_GROUPS * kGroupPairs;
static_assert(kPairs % kBlockPairs == 0, "a block's rows are of one head");

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
  for (int own = thread / kBlockPairs; own < KERNEL_VECTORS; own += kThreads / kBlockPairs) {
    const int vector = place.vector + own;
    if (vector >= count) break;
    const float scale = norm_scale<MODEL_HIDDEN>(shared.squares_of(own));
    const float first = multiply_add(shared.sum_of(own, row), scale, firstBias);
    const float second = multiply_add(shared.sum_of(own, row + kGroupPairs), scale, secondBias);
    const int position = step_word(step, STEP_POSITIONS + vector);
    float turned[2] = {first, second};
    if (isTurned) {
      const u64 angle = static_cast<u64>(position) * kPairs + pair;
      const float cosine = cosines[angle];
      const float sine = sines[angle];
      turned[0] = multiply_add(first, cosine, rounded_product(second, -sine));
      turned[1] = multiply_add(second, cosine, rounded_product(first, sine));
    }
    if (head < MODEL_HEADS) {
      float* to = queries + (static_cast<u64>(vector) * MODEL_HEADS + head) * MODEL_HEAD_DIM + pair;
      to[0] = turned[0];
      to[kPairs] = turned[1];
    } else {
      const i32 block = step_word(step, table_of_row(step, isWindow, vector) + position / kBlockPositions);
      const int kvHead = (head - MODEL_HEADS) % MODEL_KV_HEADS;
      KvElement* to = cache + kv_row(block, layer, isTurned ? kKeys : kValues, kvHead, position) + pair;
      store_kv(to, turned[0]);
      store_kv(to + kPairs, turned[1]);
    }
  }
}

}  // namespace ROUTER_NAMESPACE
