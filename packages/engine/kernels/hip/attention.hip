// Causal attention of grouped heads with sinks over the paged KV cache. A block takes a row, a KV head with the query
// heads that share it, and every `chunks`-th chunk of the keys that the row sees. Rows of one chunk are done with it;
// of others, each chunk leaves a partial result, and the last block of a row and KV head adds them in the order of the
// chunks.
//
//   queries f32 [rows, heads * head size], rotated; output f32 [rows, heads * head size]
//   arrivals u32 [rows, KV heads], 0 before and after

namespace ROUTER_NAMESPACE {

constexpr int kWidth = MODEL_HEADS * MODEL_HEAD_DIM;
// Four lanes share a key, 16 elements each.
constexpr int kLanesPerKey = 4;
constexpr int kKeysAtOnce = kThreads / kLanesPerKey;
constexpr int kKeyTurns = kChunk / kKeysAtOnce;
// Sixteen lanes share a key's values, four elements each. They take neighbouring keys.
constexpr int kValueElements = 4;
constexpr int kLanesPerValues = kHeadDim / kValueElements;
constexpr int kValueTurns = kChunk / (kThreads / kLanesPerValues);
constexpr int kTableEntries = kChunk / kBlockPositions + 1;
static_assert(kHeadDim == 64, "lanes share keys of 64 elements");
static_assert(kChunk % kKeysAtOnce == 0 && kChunk % kTeam == 0, "chunks are whole turns");
static_assert(kTeam == 2 * kLanesPerValues && kValueTurns % 4 == 0, "a team has the values of two runs of keys");

// Where the keys and values of a chunk are.
struct ChunkPlace {
  const KvElement* cache;
  // Numbers of the KV blocks from that of the chunk's first key on, in shared memory.
  const i32* table;
  u32 layer;
  int kvHead;
  int first;
  int count;

  ENGINE_METHOD const KvElement* row(int part, int at) const {
    return cache + kv_row(table[at / kBlockPositions - first / kBlockPositions], layer, part, kvHead, at);
  }
};

// The first key of the run whose values a thread has, counted from the chunk's first.
ROUTER_INLINE int first_value_key() { return static_cast<int>(thread_index()) / kLanesPerValues * kValueTurns; }

// What a thread needs of a chunk's keys and values, in registers: its 16 elements of some keys, and its four elements of
// the values of some. Zeros where the chunk ends.
struct ChunkElements {
  float keys[kKeyTurns][2][8];
  float values[kValueTurns][kValueElements];

  ENGINE_METHOD void clear() {
#pragma unroll
    for (int turn = 0; turn < kKeyTurns; turn++) {
#pragma unroll
      for (int i = 0; i < 16; i++) keys[turn][i / 8][i % 8] = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kValueTurns * kValueElements; i++) values[i / kValueElements][i % kValueElements] = 0.0f;
  }

  // Loads what lies before position `settled`, or what does not.
  template <bool IS_SETTLED>
  ENGINE_METHOD void load(const ChunkPlace& place, int settled) {
    const int thread = static_cast<int>(thread_index());
    const int end = place.first + place.count;
#pragma unroll
    for (int turn = 0; turn < kKeyTurns; turn++) {
      const int at = place.first + turn * kKeysAtOnce + thread / kLanesPerKey;
      if (at >= end || (at < settled) != IS_SETTLED) continue;
      const KvElement* elements = place.row(kKeys, at);
#pragma unroll
      for (int half = 0; half < 2; half++) {
        load_kv_eight(elements + half * 32 + thread % kLanesPerKey * 8, keys[turn][half]);
      }
    }
#pragma unroll
    for (int turn = 0; turn < kValueTurns; turn++) {
      const int at = place.first + first_value_key() + turn;
      if (at >= end || (at < settled) != IS_SETTLED) continue;
      load_kv_four(place.row(kValues, at) + thread % kLanesPerValues * kValueElements, values[turn]);
    }
  }
};

// A thread's elements of the row's heads.
constexpr int kOutputTurns = kGroup * kHeadDim / kThreads > 0 ? kGroup * kHeadDim / kThreads : 1;
static_assert(kGroup * kHeadDim % kThreads == 0 || kGroup * kHeadDim < kThreads, "threads have as many elements each");
// Chunks whose partial results are all asked for before the first of them is used.
constexpr int kChunksAtOnce = 16;

// Writes a row's heads from their partial results. `most` and `factors` are shared memory, a number for each head.
ROUTER_INLINE void merge_chunks(const float* partials, const u8* step, const float* sinks, int row, int kvHead,
                                int chunks, float* most, float* factors, float* output) {
  const int thread = static_cast<int>(thread_index());
  const auto partial_of = [&](int turn, int chunk) {
    const int i = smaller(turn * kThreads + thread, kGroup * kHeadDim - 1);
    return partials + partial_place(step, row, chunk, kvHead * kGroup + i / kHeadDim);
  };
  float values[kOutputTurns][kChunksAtOnce];
  float largest[kOutputTurns][kChunksAtOnce];
#pragma unroll
  for (int turn = 0; turn < kOutputTurns; turn++) {
#pragma unroll
    for (int chunk = 0; chunk < kChunksAtOnce; chunk++) {
      const float* partial = partial_of(turn, smaller(chunk, chunks - 1));
      values[turn][chunk] = partial[thread % kHeadDim];
      largest[turn][chunk] = partial[kPartialMax];
    }
  }
  // A team a head: what the chunks' sums come to under their common largest logit, the sink's share included.
  for (int head = team_of_block(); head < kGroup; head += kTeams) {
    const float sink = rounded_product(sinks[kvHead * kGroup + head], kLog2E);
    float high = sink;
    for (int chunk = lane_of_team(); chunk < chunks; chunk += kTeam) {
      high = larger(high, partials[partial_place(step, row, chunk, kvHead * kGroup + head) + kPartialMax]);
    }
    high = team_max(high);
    float total = 0.0f;
    for (int chunk = lane_of_team(); chunk < chunks; chunk += kTeam) {
      const float* partial = partials + partial_place(step, row, chunk, kvHead * kGroup + head);
      total = multiply_add(partial[kPartialSum], exp2_approximate(partial[kPartialMax] - high), total);
    }
    total = team_sum(total) + exp2_approximate(sink - high);
    if (lane_of_team() == 0) {
      most[head] = high;
      factors[head] = reciprocal_approximate(total);
    }
  }
  block_barrier();
#pragma unroll
  for (int turn = 0; turn < kOutputTurns; turn++) {
    const int i = turn * kThreads + thread;
    if (i >= kGroup * kHeadDim) continue;
    const float high = most[i / kHeadDim];
    float value = 0.0f;
#pragma unroll
    for (int chunk = 0; chunk < kChunksAtOnce; chunk++) {
      const float share = chunk < chunks ? exp2_approximate(largest[turn][chunk] - high) : 0.0f;
      value = multiply_add(values[turn][chunk], share, value);
    }
#pragma unroll 8
    for (int chunk = kChunksAtOnce; chunk < chunks; chunk++) {
      const float* partial = partial_of(turn, chunk);
      value = multiply_add(partial[thread % kHeadDim], exp2_approximate(partial[kPartialMax] - high), value);
    }
    output[static_cast<u64>(row) * kWidth + kvHead * kGroup * kHeadDim + i] =
        rounded_product(value, factors[i / kHeadDim]);
  }
}

extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(KERNEL_THREADS)
    attend(const u8* step, const float* rotated, const KvElement* cache, const float* sinks, float* partials,
           u32* arrivals, float* output, u32 chunks, u32 layer, u32 isWindow) {
  alignas(16) __shared__ float queries[kGroup][kHeadDim];
  alignas(16) __shared__ float shares[kGroup][kChunk];
  alignas(16) __shared__ float sums[kTeams][kGroup][kHeadDim];
  __shared__ float largest[kGroup];
  __shared__ float totals[kGroup];
  __shared__ i32 table[kTableEntries];
  __shared__ bool isLast;
  const int kvHead = static_cast<int>(block_index() / chunks % MODEL_KV_HEADS);
  const int row = static_cast<int>(block_index() / chunks / MODEL_KV_HEADS);
  if (row >= step_word(step, STEP_ROWS)) return;
  const int position = step_word(step, STEP_POSITIONS + row);
  const int settled = step_word(step, STEP_SETTLED + row);
  const SeenKeys keys = seen_keys(position, isWindow);
  const i32 rowTable = table_of_row(step, isWindow, row);
  const int thread = static_cast<int>(thread_index());
  const int firstChunk = static_cast<int>(block_index() % chunks);
  float ownSinks[kOutputTurns];
#pragma unroll
  for (int turn = 0; turn < kOutputTurns; turn++) {
    const int i = smaller(turn * kThreads + thread, kGroup * kHeadDim - 1);
    ownSinks[turn] = rounded_product(sinks[kvHead * kGroup + i / kHeadDim], kLog2E);
  }
  for (int chunk = firstChunk; chunk < keys.chunks; chunk += static_cast<int>(chunks)) {
    const ChunkPlace place = {cache,  table, layer, kvHead, keys.first + chunk * kChunk,
                              smaller(kChunk, keys.count - chunk * kChunk)};
    if (thread < kTableEntries) {
      const int entry = place.first / kBlockPositions + thread;
      table[thread] = step_word(step, rowTable + smaller(entry, position / kBlockPositions));
    }
    block_barrier();
    // Keys and values of the steps before are asked for while this step's are being computed.
    ChunkElements elements;
    elements.clear();
    elements.load<true>(place, settled);
    if (chunk == firstChunk) {
      rotated = written_before(rotated);
      let_kernel_after_begin();
      if (place.first + place.count > settled) elements.load<false>(place, settled);
      float loaded[kOutputTurns];
#pragma unroll
      for (int turn = 0; turn < kOutputTurns; turn++) {
        const int i = smaller(turn * kThreads + thread, kGroup * kHeadDim - 1);
        loaded[turn] = rotated[static_cast<u64>(row) * kWidth + kvHead * kGroup * kHeadDim + i];
      }
#pragma unroll
      for (int turn = 0; turn < kOutputTurns; turn++) {
        constexpr float kScale = kLog2E * 0.125f;
        const int i = turn * kThreads + thread;
        if (i < kGroup * kHeadDim) queries[i / kHeadDim][i % kHeadDim] = rounded_product(loaded[turn], kScale);
      }
    } else if (place.first + place.count > settled) {
      elements.load<false>(place, settled);
    }
    block_barrier();

    // Logits of the chunk's keys; none where there are fewer.
    const int part = thread % kLanesPerKey;
#pragma unroll
    for (int head = 0; head < kGroup; head++) {
      float logits[kKeyTurns];
#pragma unroll
      for (int turn = 0; turn < kKeyTurns; turn++) logits[turn] = 0.0f;
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float query[8];
        load_eight(&queries[head][half * 32 + part * 8], query);
#pragma unroll
        for (int turn = 0; turn < kKeyTurns; turn++) {
#pragma unroll
          for (int i = 0; i < 8; i++) {
            logits[turn] = multiply_add(elements.keys[turn][half][i], query[i], logits[turn]);
          }
        }
      }
#pragma unroll
      for (int turn = 0; turn < kKeyTurns; turn++) {
        const int key = turn * kKeysAtOnce + thread / kLanesPerKey;
        const float logit = token_sum<kLanesPerKey>(logits[turn]);
        if (part == 0) shares[head][key] = key < place.count ? logit : -kInfinity;
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

    // Values by their shares, of each run of keys.
    {
      float values[kGroup][kValueElements] = {};
#pragma unroll
      for (int first = 0; first < kValueTurns; first += 4) {
#pragma unroll
        for (int head = 0; head < kGroup; head++) {
          float four[4];
          load_four(&shares[head][first_value_key() + first], four);
#pragma unroll
          for (int turn = 0; turn < 4; turn++) {
#pragma unroll
            for (int i = 0; i < kValueElements; i++) {
              values[head][i] = multiply_add(four[turn], elements.values[first + turn][i], values[head][i]);
            }
          }
        }
      }
      // A team's two runs meet: of two heads, each half of the team adds up one.
      const int half = lane_of_team() / kLanesPerValues;
#pragma unroll
      for (int head = 0; head < kGroup; head += 2) {
        constexpr int kLast = kGroup - 1;
        const int next = head < kLast ? head + 1 : kLast;
        float both[kValueElements];
#pragma unroll
        for (int i = 0; i < kValueElements; i++) {
          const float other = from_other_half<16>(half == 0 ? values[next][i] : values[head][i]);
          both[i] = rounded_sum(half == 0 ? values[head][i] : values[next][i], other);
        }
        if (head + half > kLast) continue;
        store_four(&sums[team_of_block()][head + half][lane_of_team() % kLanesPerValues * kValueElements], both);
      }
    }
    block_barrier();
#pragma unroll
    for (int turn = 0; turn < kOutputTurns; turn++) {
      const int i = turn * kThreads + thread;
      if (i >= kGroup * kHeadDim) continue;
      const int head = i / kHeadDim;
      const int element = i % kHeadDim;
      float value = 0.0f;
#pragma unroll
      for (int team = 0; team < kTeams; team++) value += sums[team][head][element];
      const int modelHead = kvHead * kGroup + head;
      if (keys.chunks == 1) {
        const float sink = ownSinks[turn];
        const float most = larger(sink, largest[head]);
        const float share = exp2_approximate(largest[head] - most);
        const float total = multiply_add(totals[head], share, exp2_approximate(sink - most));
        output[static_cast<u64>(row) * kWidth + modelHead * kHeadDim + element] =
            rounded_product(rounded_product(value, share), reciprocal_approximate(total));
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
  if (keys.chunks == 1 || firstChunk >= keys.chunks) return;

  publish_to_device();
  block_barrier();
  u32* arrived = arrivals + row * MODEL_KV_HEADS + kvHead;
  const u32 blocks = static_cast<u32>(smaller(static_cast<int>(chunks), keys.chunks));
  if (thread == 0) isLast = arrive(arrived) == blocks - 1;
  block_barrier();
  if (!isLast) return;
  receive_from_device();
  if (thread == 0) *arrived = 0;
  merge_chunks(partials, step, sinks, row, kvHead, keys.chunks, largest, totals, output);
}

}  // namespace ROUTER_NAMESPACE
