// Rotary embedding of queries and keys; keys and values go to the KV cache, queries stay where they are, in f32
// [rows, (heads + 2 * KV heads) * head size]. Of each head, element i of the first half turns with element i of the second
// by the angle of the row's position: cosines and sines are f32 [positions, head size / 2], YaRN's factor included.
// A block a row.

namespace ROUTER_NAMESPACE {

constexpr int kPairs = MODEL_HEAD_DIM / 2;
constexpr int kWidth = (MODEL_HEADS + 2 * MODEL_KV_HEADS) * MODEL_HEAD_DIM;

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    rotate_and_store(const u8* step, const float* cosines, const float* sines, float* qkv, KvElement* cache, u32 layer,
                     u32 isWindow) {
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int row = static_cast<int>(block_index());
  if (row >= step_word(step, STEP_ROWS)) return;
  const int position = step_word(step, STEP_POSITIONS + row);
  const i32 block = step_word(step, table_of_row(step, isWindow, row) + position / kBlockPositions);
  float* heads = qkv + static_cast<u64>(row) * kWidth;
  for (int i = static_cast<int>(thread_index()); i < (MODEL_HEADS + MODEL_KV_HEADS) * kPairs; i += kThreads) {
    const int head = i / kPairs;
    const int pair = i % kPairs;
    const float cosine = cosines[static_cast<u64>(position) * kPairs + pair];
    const float sine = sines[static_cast<u64>(position) * kPairs + pair];
    const float first = heads[head * kHeadDim + pair];
    const float second = heads[head * kHeadDim + kPairs + pair];
    const float turnedFirst = multiply_add(first, cosine, -rounded_product(second, sine));
    const float turnedSecond = multiply_add(second, cosine, rounded_product(first, sine));
    if (head < MODEL_HEADS) {
      heads[head * kHeadDim + pair] = turnedFirst;
      heads[head * kHeadDim + kPairs + pair] = turnedSecond;
    } else {
      KvElement* key = cache + kv_row(block, layer, kKeys, head - MODEL_HEADS, position);
      store_kv(key + pair, turnedFirst);
      store_kv(key + kPairs + pair, turnedSecond);
    }
  }
  const float* values = heads + (MODEL_HEADS + MODEL_KV_HEADS) * kHeadDim;
  for (int i = static_cast<int>(thread_index()); i < MODEL_KV_HEADS * kHeadDim; i += kThreads) {
    store_kv(cache + kv_row(block, layer, kValues, i / kHeadDim, position) + i % kHeadDim, values[i]);
  }
}

}  // namespace ROUTER_NAMESPACE
