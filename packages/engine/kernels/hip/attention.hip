// Causal attention of grouped heads with sinks over the paged KV cache. A block takes a row, a KV head with the query
// heads that share it, and every `chunks`-th chunk of the keys that the row sees. Rows of one chunk are done with it;
// of others, each chunk leaves a partial result, and merge_attention.hip adds them.
//
//   queries f32 [rows, heads * head size], rotated; output f32 [rows, heads * head size]

namespace ROUTER_NAMESPACE {

constexpr int kWidth = MODEL_HEADS * MODEL_HEAD_DIM;
// Four lanes share a key, 16 elements each.
constexpr int kLanesPerKey = 4;
constexpr int kKeysAtOnce = kThreads / kLanesPerKey;
// Threads that own an element of the head, each over its part of the chunk's keys.
constexpr int kParts = kThreads / kHeadDim;
constexpr int kKeysPerPart = kChunk / kParts;
constexpr int kValuesAtOnce = 16;
constexpr int kTableEntries = kChunk / kBlockPositions + 1;
static_assert(kHeadDim == 64, "lanes share keys of 64 elements");
static_assert(kKeysPerPart % kValuesAtOnce == 0, "parts are whole groups");
static_assert(kChunk % kKeysAtOnce == 0 && kChunk % kTeam == 0, "chunks are whole turns");

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    attend(const u8* step, const float* rotated, const KvElement* cache, const float* sinks, float* partials,
           float* output, u32 chunks, u32 layer, u32 isWindow) {
  alignas(16) __shared__ float queries[kGroup][kHeadDim];
  alignas(16) __shared__ float shares[kGroup][kChunk];
  __shared__ float sums[kParts][kGroup][kHeadDim];
  __shared__ float largest[kGroup];
  __shared__ float totals[kGroup];
  __shared__ i32 table[kTableEntries];
  step = once_kernel_before_is_done(step);
  let_kernel_after_begin();
  const int kvHead = static_cast<int>(block_index() / chunks % MODEL_KV_HEADS);
  const int row = static_cast<int>(block_index() / chunks / MODEL_KV_HEADS);
  if (row >= step_word(step, STEP_ROWS)) return;
  const int position = step_word(step, STEP_POSITIONS + row);
  const SeenKeys keys = seen_keys(position, isWindow);
  const i32 rowTable = table_of_row(step, isWindow, row);
  const int thread = static_cast<int>(thread_index());
  for (int i = thread; i < kGroup * kHeadDim; i += kThreads) {
    constexpr float kScale = kLog2E * 0.125f;
    queries[i / kHeadDim][i % kHeadDim] =
        rounded_product(rotated[static_cast<u64>(row) * kWidth + kvHead * kGroup * kHeadDim + i], kScale);
  }
  for (int chunk = static_cast<int>(block_index() % chunks); chunk < keys.chunks; chunk += static_cast<int>(chunks)) {
    const int first = keys.first + chunk * kChunk;
    const int count = smaller(kChunk, keys.count - chunk * kChunk);
    if (thread < kTableEntries) {
      const int entry = first / kBlockPositions + thread;
      table[thread] = step_word(step, rowTable + smaller(entry, position / kBlockPositions));
    }
    block_barrier();
    const int base = first / kBlockPositions;

    // Logits of the chunk's keys; none where there are fewer.
    const int part = thread % kLanesPerKey;
#pragma unroll
    for (int turn = 0; turn < kChunk / kKeysAtOnce; turn++) {
      const int key = turn * kKeysAtOnce + thread / kLanesPerKey;
      float logits[kGroup];
#pragma unroll
      for (int head = 0; head < kGroup; head++) logits[head] = 0.0f;
      if (key < count) {
        const int at = first + key;
        const KvElement* elements = cache + kv_row(table[at / kBlockPositions - base], layer, kKeys, kvHead, at);
#pragma unroll
        for (int half = 0; half < 2; half++) {
          float values[8];
          const int element = half * 32 + part * 8;
          load_kv_eight(elements + element, values);
#pragma unroll
          for (int head = 0; head < kGroup; head++) {
            float query[8];
            load_eight(&queries[head][element], query);
#pragma unroll
            for (int i = 0; i < 8; i++) logits[head] = multiply_add(values[i], query[i], logits[head]);
          }
        }
      }
#pragma unroll
      for (int head = 0; head < kGroup; head++) {
        const float logit = token_sum<kLanesPerKey>(logits[head]);
        if (part == 0) shares[head][key] = key < count ? logit : -kInfinity;
      }
    }
    block_barrier();

    // A team a head: the largest logit, and shares under it.
    for (int head = team_of_block(); head < kGroup; head += kTeams) {
      float most = -kInfinity;
      for (int key = lane_of_team(); key < kChunk; key += kTeam) most = larger(most, shares[head][key]);
      most = team_max(most);
      float total = 0.0f;
      for (int key = lane_of_team(); key < kChunk; key += kTeam) {
        const float share = exp2_approximate(shares[head][key] - most);
        total += share;
        shares[head][key] = share;
      }
      total = team_sum(total);
      if (lane_of_team() == 0) {
        largest[head] = most;
        totals[head] = total;
      }
    }
    block_barrier();

    // Values by their shares: a thread an element, over its part of the keys.
    {
      const int element = thread % kHeadDim;
      const int begin = thread / kHeadDim * kKeysPerPart;
      float values[kGroup];
#pragma unroll
      for (int head = 0; head < kGroup; head++) values[head] = 0.0f;
      // As many loads as fit at once. Past the last key they repeat it, with a share of zero.
      for (int group = begin; group < smaller(begin + kKeysPerPart, count); group += kValuesAtOnce) {
        float loaded[kValuesAtOnce];
#pragma unroll
        for (int i = 0; i < kValuesAtOnce; i++) {
          const int at = first + smaller(group + i, count - 1);
          loaded[i] = load_kv(cache + kv_row(table[at / kBlockPositions - base], layer, kValues, kvHead, at) + element);
        }
#pragma unroll
        for (int i = 0; i < kValuesAtOnce; i++) {
#pragma unroll
          for (int head = 0; head < kGroup; head++) {
            values[head] = multiply_add(shares[head][group + i], loaded[i], values[head]);
          }
        }
      }
#pragma unroll
      for (int head = 0; head < kGroup; head++) sums[thread / kHeadDim][head][element] = values[head];
    }
    block_barrier();
    for (int i = thread; i < kGroup * kHeadDim; i += kThreads) {
      const int head = i / kHeadDim;
      const int element = i % kHeadDim;
      float value = 0.0f;
#pragma unroll
      for (int other = 0; other < kParts; other++) value += sums[other][head][element];
      const int modelHead = kvHead * kGroup + head;
      if (keys.chunks == 1) {
        const float sink = rounded_product(sinks[modelHead], kLog2E);
        MergedChunks merged;
        merged.begin(larger(sink, largest[head]), sink);
        merged.add(largest[head], totals[head], value);
        output[static_cast<u64>(row) * MODEL_HEADS * kHeadDim + modelHead * kHeadDim + element] = merged.result();
      } else {
        float* partial = partials + partial_place(step, row, chunk, modelHead);
        partial[element] = value;
        if (element == 0) {
          partial[kPartialMax] = largest[head];
          partial[kPartialSum] = totals[head];
        }
      }
    }
    block_barrier();
  }
}

}  // namespace ROUTER_NAMESPACE
