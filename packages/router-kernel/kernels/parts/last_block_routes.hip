// In the fused kernel every block forms logits, and the last one routes them: as a word each, which is 0 until it is handed
// over and is left 0, they come to it from the others. It waits for blocks that wait for nobody, so that it may take the
// place of one of them but never of all. To the parts that follow, which are those of a routing launch of one block, it
// is block 0.

namespace ROUTER_NAMESPACE {

ROUTER_INLINE u32 gate_block() { return block_index(); }

constexpr int kWordsPerThread = (kTileTokens * ROUTER_EXPERTS + ROUTER_THREADS - 1) / ROUTER_THREADS;

// Waits for the words of all logits, f32 [tokens, E], stores these and clears the words. Others of the block may read the
// logits when it returns.
ROUTER_INLINE void receive_logits(u64* words, u32 tokens, float* logits, u32 thread) {
  const u32 count = tokens * ROUTER_EXPERTS;
  u64 received[kWordsPerThread];
#pragma unroll
  for (int i = 0; i < kWordsPerThread; i++) received[i] = thread + i * ROUTER_THREADS < count ? 0 : 1;
  bool isComplete;
  do {
    // All loads are on their way before one is looked at.
#pragma unroll
    for (int i = 0; i < kWordsPerThread; i++) {
      if (received[i] == 0) received[i] = load_device_word(words + thread + i * ROUTER_THREADS);
    }
    isComplete = true;
#pragma unroll
    for (int i = 0; i < kWordsPerThread; i++) isComplete = isComplete && received[i] != 0;
  } while (!isComplete);
#pragma unroll
  for (int i = 0; i < kWordsPerThread; i++) {
    const u32 place = thread + i * ROUTER_THREADS;
    if (place >= count) continue;
    logits[place] = number_of_word(received[i]);
    store_device_word(words + place, 0);
  }
  block_barrier_of_memory();
}

}  // namespace ROUTER_NAMESPACE

#define block_index() 0u
