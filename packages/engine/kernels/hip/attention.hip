// Causal attention of grouped heads with sinks over the paged KV cache. A block takes a row, a KV head with the query
// heads that share it, and every `blocks`-th run of chunks of the keys that the row sees. Rows of one chunk are done with
// it; of others, each run leaves a partial result, and the last block of a row and KV head adds them in the order of the
// runs. The keys of a block's next chunk are on their way while the values of one are added up, and the other way round.
//
//   queries f32 [rows, heads * head size], rotated; output f32 [rows, heads * head size]
//   arrivals u32 [rows, KV heads], 0 before and after

namespace ROUTER_NAMESPACE {

constexpr int kWidth = MODEL_HEADS * MODEL_HEAD_DIM;
// A key is shared by as many lanes as it has scales, with the elements of one each.
constexpr int kLanesPerKey = kScales;
constexpr int kKeysAtOnce = kThreads / kLanesPerKey;
constexpr int kKeyTurns = kChunk / kKeysAtOnce;
// Sixteen lanes share a key's values, four elements each. They take neighbouring keys.
constexpr int kValueElements = 4;
constexpr int kLanesPerValues = kHeadDim / kValueElements;
constexpr int kValueTurns = kChunk / (kThreads / kLanesPerValues);
constexpr int kTableEntries = kChunk / kBlockPositions + 1;
static_assert(kHeadDim == 64 && kScaledPairs == 8, "lanes share keys of 64 elements by 16");
static_assert(kChunk == 2 * kKeysAtOnce, "two turns of keys");
// Of a chunk's keys of a head, those that a lane of its team takes.
constexpr int kKeysOfLane = kChunk / kTeam;
static_assert(kKeysOfLane == 4, "a team has four keys a lane");
static_assert(kBlockPositions % kValueTurns == 0, "a thread's neighbouring values are of one KV block");
static_assert(kTeam == 2 * kLanesPerValues && kValueTurns % 4 == 0, "a team has the values of two runs of keys");

// Where the keys and values of a chunk are.
struct ChunkPlace {
  // Of the layer and KV head, in the KV block that has number 0.
  const KvElement* keys;
  // Numbers of the KV blocks from that of the chunk's first key on, in shared memory.
  const i32* table;
  u32 first;
  u32 count;

  // Of a key counted from the chunk's first. Where the chunk has fewer it is the last one, whose share counts once.
  ENGINE_METHOD u32 position(u32 key) const { return first + smaller(key, count - 1); }

  // Whether the chunk has all of its keys, and begins where a KV block does.
  ENGINE_METHOD bool is_whole() const { return count == kChunk && first % kBlockPositions == 0; }
  // Then, of a key counted from the chunk's first.
  ENGINE_METHOD const KvElement* head_of_whole(u32 key) const {
    return keys + static_cast<u64>(table[key / kBlockPositions]) * kKvBlockElements;
  }

  ENGINE_METHOD const KvElement* head(u32 at) const {
    const i32 block = table[at / kBlockPositions - first / kBlockPositions];
    return keys + static_cast<u64>(block) * kKvBlockElements;
  }
};

// Which keys of a chunk are asked for: the steps before have written those before `settled`.
enum Written { kWrittenBefore, kWrittenNow, kWrittenAll };

template <Written WRITTEN>
ROUTER_INLINE bool is_asked_for(u32 at, u32 settled) {
  return WRITTEN == kWrittenAll || (at < settled) == (WRITTEN == kWrittenBefore);
}

// A thread's 16 elements of some of a chunk's keys, in registers: those of one scale.
struct ChunkKeys {
  KvEight eights[kKeyTurns][2];

  template <Written WRITTEN>
  ENGINE_METHOD void load(const ChunkPlace& place, u32 settled) {
    const u32 thread = thread_index();
    const u32 element = thread % kLanesPerKey * kScaledPairs;
    if (WRITTEN == kWrittenAll && place.is_whole()) {
#pragma unroll
      for (int turn = 0; turn < kKeyTurns; turn++) {
        const u32 key = turn * kKeysAtOnce + thread / kLanesPerKey;
        const KvElement* head = place.head_of_whole(key);
        eights[turn][0].load(head, key, element);
        eights[turn][1].load_beside(eights[turn][0], head, key, kHeadDim / 2 + element);
      }
      return;
    }
#pragma unroll
    for (int turn = 0; turn < kKeyTurns; turn++) {
      const u32 at = place.position(turn * kKeysAtOnce + thread / kLanesPerKey);
      if (!is_asked_for<WRITTEN>(at, settled)) continue;
      const KvElement* head = place.head(at);
      eights[turn][0].load(head, at, element);
      eights[turn][1].load_beside(eights[turn][0], head, at, kHeadDim / 2 + element);
    }
  }
};

// The first key of the run whose values a thread has, counted from the chunk's first.
ROUTER_INLINE int first_value_key() { return static_cast<int>(thread_index()) / kLanesPerValues * kValueTurns; }

// A thread's four elements of the values of some of a chunk's keys, in registers.
struct ChunkValues {
  KvFour fours[kValueTurns];

  template <Written WRITTEN>
  ENGINE_METHOD void load(const ChunkPlace& place, u32 settled) {
    const u32 element = thread_index() % kLanesPerValues * kValueElements;
    if (WRITTEN == kWrittenAll && place.is_whole()) {
      // Of long contexts nearly all: a thread's keys are of one KV block, and at the same places of it.
      const u32 key = static_cast<u32>(first_value_key());
      const KvElement* values = place.head_of_whole(key) + kValuesBehindKeys;
#pragma unroll
      for (int turn = 0; turn < kValueTurns; turn++) fours[turn].load(values, key, element, turn);
      return;
    }
#pragma unroll
    for (int turn = 0; turn < kValueTurns; turn++) {
      const u32 at = place.position(first_value_key() + turn);
      if (!is_asked_for<WRITTEN>(at, settled)) continue;
      fours[turn].load(place.head(at) + kValuesBehindKeys, at, element);
    }
  }
};

// Of two sums of which each of two lanes STEP apart has a part, each lane gets its own.
template <int STEP>
ROUTER_INLINE float sum_with_other_half(float own, float theirs) {
  return rounded_sum(own, from_other_half<STEP>(theirs));
}
// The first lane gets the first and the second the other.
template <int STEP>
ROUTER_INLINE float sum_of_halves(bool isSecond, float first, float second) {
  return sum_with_other_half<STEP>(isSecond ? second : first, isSecond ? first : second);
}

// A thread's elements of the row's heads.
constexpr int kOutputTurns = kGroup * kHeadDim / kThreads > 0 ? kGroup * kHeadDim / kThreads : 1;
static_assert(kGroup * kHeadDim % kThreads == 0 || kGroup * kHeadDim < kThreads, "threads have as many elements each");
// Runs whose partial results are all asked for before the first of them is used.
constexpr int kRunsAtOnce = 16;

// Writes a row's heads from their partial results. `shares` and `factors` are shared memory: of each run of a head, and of
// each head.
ROUTER_INLINE void merge_runs(const float* partials, const u8* step, const float* sinks, int row, int kvHead, int runs,
                              float (*shares)[kChunk], float* factors, float* output) {
  static_assert(kMostRuns <= kChunk, "a run has the place of a key");
  const int thread = static_cast<int>(thread_index());
  const auto value_of = [&](int turn, int run) {
    const int i = smaller(turn * kThreads + thread, kGroup * kHeadDim - 1);
    return partials[partial_place(step, row, run, kvHead * kGroup + i / kHeadDim) + i % kHeadDim];
  };
  float values[kOutputTurns][kRunsAtOnce];
#pragma unroll
  for (int turn = 0; turn < kOutputTurns; turn++) {
#pragma unroll
    for (int run = 0; run < kRunsAtOnce; run++) values[turn][run] = value_of(turn, smaller(run, runs - 1));
  }
  // A team a head: the runs' shares under their common largest logit, and what they come to with the sink's.
  for (int head = team_of_block(); head < kGroup; head += kTeams) {
    const float sink = rounded_product(sinks[kvHead * kGroup + head], kLog2E);
    float high = sink;
    for (int run = lane_of_team(); run < runs; run += kTeam) {
      high = larger(high, partials[partial_place(step, row, run, kvHead * kGroup + head) + kPartialMax]);
    }
    high = team_max(high);
    float total = 0.0f;
    for (int run = lane_of_team(); run < runs; run += kTeam) {
      const float* partial = partials + partial_place(step, row, run, kvHead * kGroup + head);
      const float share = exp2_approximate(partial[kPartialMax] - high);
      shares[head][run] = share;
      total = multiply_add(partial[kPartialSum], share, total);
    }
    total = team_sum(total) + exp2_approximate(sink - high);
    if (lane_of_team() == 0) factors[head] = reciprocal_approximate(total);
  }
  block_barrier();
#pragma unroll
  for (int turn = 0; turn < kOutputTurns; turn++) {
    const int i = turn * kThreads + thread;
    if (i >= kGroup * kHeadDim) continue;
    const float* ofHead = shares[i / kHeadDim];
    float value = 0.0f;
#pragma unroll
    for (int run = 0; run < kRunsAtOnce; run++) {
      value = multiply_add(values[turn][run], run < runs ? ofHead[run] : 0.0f, value);
    }
#pragma unroll 8
    for (int run = kRunsAtOnce; run < runs; run++) value = multiply_add(value_of(turn, run), ofHead[run], value);
    output[static_cast<u64>(row) * kWidth + kvHead * kGroup * kHeadDim + i] =
        rounded_product(value, factors[i / kHeadDim]);
  }
}

// Two blocks of a multiprocessor: while one waits for its keys, the other computes.
extern "C" __global__ void ROUTER_RESIDENT_LAUNCH_BOUNDS(KERNEL_THREADS, 2)
    attend(const u8* step, const float* rotated, const KvElement* cache, const float* sinks, float* partials,
           u32* arrivals, float* output, u32 blocks, u32 layer, u32 isWindow) {
  alignas(16) __shared__ float queries[kGroup][kHeadDim];
  alignas(16) __shared__ float shares[kGroup][kChunk];
  alignas(16) __shared__ float sums[kTeams][kGroup][kHeadDim];
  // Of a run's chunks so far.
  __shared__ float largest[kGroup];
  __shared__ float totals[kGroup];
  // What the values of a run's chunks so far, and of the one at hand, are multiplied with.
  __shared__ float before[kGroup];
  __shared__ float now[kGroup];
  __shared__ float ownSinks[kGroup];
  // Of the chunk at hand and the one after it, in turns.
  __shared__ i32 tables[2][kTableEntries];
  __shared__ bool isLast;
  const int kvHead = static_cast<int>(block_index() / blocks % MODEL_KV_HEADS);
  const int row = static_cast<int>(block_index() / blocks / MODEL_KV_HEADS);
  if (row >= step_word(step, STEP_ROWS)) return;
  const int position = step_word(step, STEP_POSITIONS + row);
  const u32 settled = static_cast<u32>(step_word(step, STEP_SETTLED + row));
  const SeenKeys keys = seen_keys(position, isWindow);
  const i32 rowTable = table_of_row(step, isWindow, row);
  const int thread = static_cast<int>(thread_index());
  const int firstRun = static_cast<int>(block_index() % blocks);
  if (thread < kGroup) ownSinks[thread] = rounded_product(sinks[kvHead * kGroup + thread], kLog2E);
  const KvElement* ownKeys = cache + kv_head(0, layer, kKeys, kvHead);
  const auto place_of = [&](int chunk, const i32* table) {
    return ChunkPlace{ownKeys, table, static_cast<u32>(keys.first + chunk * kChunk),
                      static_cast<u32>(smaller(kChunk, keys.count - chunk * kChunk))};
  };
  const auto table_entry = [&](int chunk) {
    const int entry = (keys.first + chunk * kChunk) / kBlockPositions + thread;
    return step_word(step, rowTable + smaller(entry, position / kBlockPositions));
  };
  ChunkKeys chunkKeys;
  ChunkValues chunkValues;
  if (firstRun < keys.runs) {
    const ChunkPlace place = place_of(firstRun * keys.chunksOfRun, tables[0]);
    if (thread < kTableEntries) tables[0][thread] = table_entry(firstRun * keys.chunksOfRun);
    block_barrier();
    // Keys and values of the steps before are asked for while this step's are being computed.
    chunkKeys.load<kWrittenBefore>(place, settled);
    chunkValues.load<kWrittenBefore>(place, settled);
    rotated = written_before(rotated);
    let_kernel_after_begin();
    if (place.first + place.count > settled) {
      chunkKeys.load<kWrittenNow>(place, settled);
      chunkValues.load<kWrittenNow>(place, settled);
    }
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
    block_barrier();
  }
  // The thread's elements of a run's values by their shares.
  float runValues[kOutputTurns];
  int turnOfTable = 0;
  int runNumber = firstRun;
  int ofRun = 0;
  for (int at = firstRun * keys.chunksOfRun; at < keys.chunks;) {
    const bool endsRun = at + 1 == keys.chunks || ofRun + 1 == keys.chunksOfRun;
    const int next = endsRun ? (runNumber + static_cast<int>(blocks)) * keys.chunksOfRun : at + 1;
    const bool hasNext = next < keys.chunks;
    turnOfTable ^= 1;
    const ChunkPlace nextPlace = place_of(next, tables[turnOfTable]);
    if (hasNext && thread < kTableEntries) tables[turnOfTable][thread] = table_entry(next);

    // Logits of the chunk's keys; none where there are fewer. Each of the lanes that share a key has one sum in the end, of
    // two heads and two keys.
    const int count = keys.count - at * kChunk;
    const int part = thread % kLanesPerKey;
    const int ownKey = part / 2 * kKeysAtOnce + thread / kLanesPerKey;
    float keyElements[kKeyTurns][2][kScaledPairs];
#pragma unroll
    for (int turn = 0; turn < kKeyTurns; turn++) {
#pragma unroll
      for (int half = 0; half < 2; half++) chunkKeys.eights[turn][half].widen(keyElements[turn][half]);
    }
#pragma unroll
    for (int head = 0; head < kGroup; head += 2) {
      // Each lane begins with the head whose sum it will have.
      float logits[kKeyTurns][2] = {};
#pragma unroll
      for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int second = 0; second < 2; second++) {
          float query[8];
          const int own = smaller(head + (second ^ (part % 2)), kGroup - 1);
          load_eight(&queries[own][half * 32 + part * 8], query);
#pragma unroll
          for (int turn = 0; turn < kKeyTurns; turn++) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
              logits[turn][second] = multiply_add(keyElements[turn][half][i], query[i], logits[turn][second]);
            }
          }
        }
      }
      const float first = sum_with_other_half<1>(logits[0][0], logits[0][1]);
      const float last = sum_with_other_half<1>(logits[1][0], logits[1][1]);
      const float logit = sum_of_halves<2>(part / 2 != 0, first, last);
      if (head + part % 2 < kGroup) shares[head + part % 2][ownKey] = ownKey < count ? logit : -kInfinity;
    }
    block_barrier();
    if (hasNext) chunkKeys.load<kWrittenAll>(nextPlace, settled);

    // A team a head: the largest logit, and shares under it.
#pragma unroll 1
    for (int head = team_of_block(); head < kGroup; head += kTeams) {
      float own[kKeysOfLane];
      load_four(&shares[head][lane_of_team() * kKeysOfLane], own);
      float most = own[0];
#pragma unroll
      for (int i = 1; i < kKeysOfLane; i++) most = larger(most, own[i]);
      most = team_max(most);
      float total = 0.0f;
#pragma unroll
      for (int i = 0; i < kKeysOfLane; i++) {
        own[i] = exp2_approximate(own[i] - most);
        total += own[i];
      }
      store_four(&shares[head][lane_of_team() * kKeysOfLane], own);
      total = team_sum(total);
      if (lane_of_team() != 0) continue;
      if (ofRun > 0) {
        // Under what is now the run's largest logit, as its values so far will be.
        const float high = larger(largest[head], most);
        before[head] = exp2_approximate(largest[head] - high);
        now[head] = exp2_approximate(most - high);
        total = multiply_add(total, now[head], rounded_product(totals[head], before[head]));
        most = high;
      }
      largest[head] = most;
      totals[head] = total;
    }
    block_barrier();

    // Values by their shares. A team has two neighbouring parts of the keys, which meet here: of two heads, each half of the
    // team adds up one.
    const int half = lane_of_team() / kLanesPerValues;
    float valueElements[kValueTurns][kValueElements];
#pragma unroll
    for (int turn = 0; turn < kValueTurns; turn++) chunkValues.fours[turn].widen(valueElements[turn]);
#pragma unroll
    for (int head = 0; head < kGroup; head += 2) {
      float values[2][kValueElements] = {};
#pragma unroll
      for (int first = 0; first < kValueTurns; first += 4) {
#pragma unroll
        for (int other = 0; other < 2; other++) {
          float four[4];
          const int own = smaller(head + (other ^ half), kGroup - 1);
          load_four(&shares[own][first_value_key() + first], four);
#pragma unroll
          for (int turn = 0; turn < 4; turn++) {
#pragma unroll
            for (int i = 0; i < kValueElements; i++) {
              values[other][i] = multiply_add(four[turn], valueElements[first + turn][i], values[other][i]);
            }
          }
        }
      }
      float both[kValueElements];
#pragma unroll
      for (int i = 0; i < kValueElements; i++) both[i] = sum_with_other_half<16>(values[0][i], values[1][i]);
      if (head + half >= kGroup) continue;
      store_four(&sums[team_of_block()][head + half][lane_of_team() % kLanesPerValues * kValueElements], both);
    }
    block_barrier();
    if (hasNext) chunkValues.load<kWrittenAll>(nextPlace, settled);
#pragma unroll
    for (int turn = 0; turn < kOutputTurns; turn++) {
      const int i = smaller(turn * kThreads + thread, kGroup * kHeadDim - 1);
      const int head = i / kHeadDim;
      const int element = i % kHeadDim;
      float value = 0.0f;
#pragma unroll
      for (int team = 0; team < kTeams; team++) value += sums[team][head][element];
      runValues[turn] =
          ofRun == 0 ? value : multiply_add(value, now[head], rounded_product(runValues[turn], before[head]));
      if (!endsRun || turn * kThreads + thread >= kGroup * kHeadDim) continue;
      const int modelHead = kvHead * kGroup + head;
      if (keys.chunks == 1) {
        const float sink = ownSinks[head];
        const float most = larger(sink, largest[head]);
        const float share = exp2_approximate(largest[head] - most);
        const float total = multiply_add(totals[head], share, exp2_approximate(sink - most));
        output[static_cast<u64>(row) * kWidth + modelHead * kHeadDim + element] =
            rounded_product(rounded_product(runValues[turn], share), reciprocal_approximate(total));
      } else {
        float* partial = partials + partial_place(step, row, runNumber, modelHead);
        partial[element] = runValues[turn];
        if (element == 0) {
          partial[kPartialMax] = largest[head];
          partial[kPartialSum] = totals[head];
        }
      }
    }
    at = next;
    ofRun = endsRun ? 0 : ofRun + 1;
    if (endsRun) runNumber += static_cast<int>(blocks);
  }
  if (keys.chunks == 1 || firstRun >= keys.runs) return;

  publish_to_device();
  block_barrier();
  u32* arrived = arrivals + row * MODEL_KV_HEADS + kvHead;
  const u32 arriving = static_cast<u32>(smaller(static_cast<int>(blocks), keys.runs));
  if (thread == 0) isLast = arrive(arrived) == arriving - 1;
  block_barrier();
  if (!isLast) return;
  receive_from_device();
  if (thread == 0) *arrived = 0;
  merge_runs(partials, step, sinks, row, kvHead, keys.runs, shares, totals, output);
}

}  // namespace ROUTER_NAMESPACE
