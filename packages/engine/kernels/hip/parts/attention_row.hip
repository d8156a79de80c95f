// Which keys a row sees, and how they are cut into chunks: the row's own position decides, so that a row's result does
// not depend on what else is computed. Logits of the softmax are kept times log2(e), for exp2.

namespace ROUTER_NAMESPACE {

constexpr int kChunk = ATTENTION_CHUNK;
constexpr int kGroup = MODEL_HEADS / MODEL_KV_HEADS;
constexpr float kLog2E = 1.44269504088896340736f;

// Rows of more chunks than this have them in runs that are added up one by one: no partial result is left of each.
constexpr int kMostRuns = ATTENTION_KEY_RUNS;

struct SeenKeys {
  int first;
  int count;
  int chunks;
  int chunksOfRun;
  int runs;
};

ROUTER_INLINE SeenKeys seen_keys(int position, u32 isWindow) {
  SeenKeys keys;
  keys.first = isWindow != 0 ? larger(0, position - MODEL_WINDOW + 1) : 0;
  keys.count = position + 1 - keys.first;
  keys.chunks = (keys.count + kChunk - 1) / kChunk;
  keys.chunksOfRun = (keys.chunks + kMostRuns - 1) / kMostRuns;
  keys.runs = (keys.chunks + keys.chunksOfRun - 1) / keys.chunksOfRun;
  return keys;
}

// A run's partial result of one head: the largest logit, the sum of the shares, and the values by their shares.
constexpr int kPartialFloats = MODEL_HEAD_DIM + 2;
constexpr int kPartialMax = MODEL_HEAD_DIM;
constexpr int kPartialSum = MODEL_HEAD_DIM + 1;

ROUTER_INLINE u64 partial_place(const u8* step, int row, int run, int head) {
  return ((static_cast<u64>(step_word(step, STEP_PARTIALS + row)) + run) * MODEL_HEADS + head) * kPartialFloats;
}

}  // namespace ROUTER_NAMESPACE
