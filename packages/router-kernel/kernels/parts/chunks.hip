// Two searches instead of one, for many tokens, where instructions are what counts. The first ranks chunks of
// neighbouring experts, one load each, by their best logit; the second ranks the experts of the K best chunks, which are
// read again. The K best experts lie in the K best chunks: a chunk that has one of them is beaten only by
// chunks that have a better one, and equal logits go to the lower chunk as they go to the lower expert.

namespace ROUTER_NAMESPACE {

// Lists are as long as the next power of two, which sorting networks want.
constexpr int kKept = kNextPowerOfTwo<kTopK>;
// By keys, each lane reads whole chunks.
constexpr bool kSearchesChunks = kHasChunks && kKept % kLanes == 0;
constexpr int kCandidates = kSearchesChunks ? kLoads : kSlots;
constexpr int kKeptInLane = kKept < kNextPowerOfTwo<kCandidates> ? kKept : kNextPowerOfTwo<kCandidates>;

constexpr int kWordsPerChunk = 4;
constexpr int kChunkWidth = kWordsPerChunk * 4 / kLogitBytes;

// The largest of a chunk's f32 logits; NaN only where all are.
ROUTER_INLINE float largest_of_chunk(const u32* words) {
  return larger_number(larger_number(bits_to_float(words[0]), bits_to_float(words[1])),
                       larger_number(bits_to_float(words[2]), bits_to_float(words[3])));
}

// The key of a chunk: that of its best logit, with the chunk's first expert.
ROUTER_INLINE Key key_of_chunk(const u32* words, u32 first) {
  if constexpr (kDtype == Dtype::f32) {
    return static_cast<Key>(wide_key(order_of_float(largest_of_chunk(words)), first));
  } else {
    const u32 orders = orders_of_largest<kDtype, kWordsPerChunk>(words);
    return smaller(static_cast<Key>((orders << 16) | first), static_cast<Key>((orders & 0xffff0000u) | first));
  }
}

// A lane's keys of chunks, without the lane's first expert, as in keys_of_logits.
ROUTER_INLINE void keys_of_chunks(const u32* words, Key* keys) {
#pragma unroll
  for (int load = 0; load < kLoads; load++) {
    keys[load] = key_of_chunk(words + load * kWordsPerChunk, expert_offset(load * kChunkWidth));
  }
}

// The best COUNT experts of the COUNT best chunks, in every lane. Each lane reads its share of the chunks.
template <int COUNT>
ROUTER_INLINE void best_of_chunks(const u8* row, u32 lane, Key* best) {
  constexpr int kShare = COUNT / kLanes;
  static_assert(kShare * kLanes == COUNT, "the chunks divide among the lanes");
  Key keys[kShare * kChunkWidth];
#pragma unroll
  for (int i = 0; i < kShare; i++) {
    u32 first = expert_of(best[i * kLanes]);
#pragma unroll
    for (int other = 1; other < kLanes; other++) {
      if (lane == static_cast<u32>(other)) first = expert_of(best[i * kLanes + other]);
    }
    const Words4 words = *reinterpret_cast<const Words4*>(row + first * kLogitBytes);
    const u32 four[kWordsPerChunk] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int word = 0; word < kWordsPerChunk; word++) {
      Key* target = keys + (i * kWordsPerChunk + word) * kChunkWidth / kWordsPerChunk;
      if constexpr (kDtype == Dtype::f32) {
        target[0] = static_cast<Key>(wide_key(order_of_float(bits_to_float(four[word])), first + word));
      } else {
        const u32 orders = orders_of_pair<kDtype>(four[word]);
        target[0] = static_cast<Key>((orders << 16) | (first + 2 * word));
        target[1] = static_cast<Key>((orders & 0xffff0000u) | (first + 2 * word + 1));
      }
    }
  }
  select_best<COUNT, kShare * kChunkWidth>(keys, best);
  merge_across_lanes<kLanes, COUNT, COUNT>(best);
}

}  // namespace ROUTER_NAMESPACE
