// The tokens of a block, and which of its slots go to which expert.
//
// A bit matrix in shared memory has a row for each expert and a column for each token of the block; a bit says that the
// token goes to the expert. A token goes to an expert once at most, so the bits, row after row, are the slots in the
// order of the plan: the number of bits before a slot's own is its place. No timing of threads shows in it.

#if ROUTER_PLAN
namespace ROUTER_NAMESPACE {

constexpr u32 kPlanExperts = ROUTER_EXPERTS;
constexpr u32 kPlanTopK = ROUTER_TOP_K;
constexpr u32 kPlanThreads = ROUTER_THREADS;
constexpr u32 kPlanWaves = kPlanThreads / kWaveSize;
static_assert(kPlanThreads % kWaveSize == 0, "every wave of a block is whole");

// Tokens of a block of the routing launch.
constexpr u32 kBlockTokens = ROUTER_BLOCK_TOKENS;
constexpr u32 kBlockSlots = kBlockTokens * kPlanTopK;
static_assert(kBlockSlots < 65536, "places in a batch are 16-bit");
// Odd, so that the rows of neighbouring experts begin in different banks of shared memory.
constexpr u32 kRowWords = (kBlockTokens + 31) / 32 | 1;
constexpr u32 kMatrixWords = kPlanExperts * kRowWords;

// The expert of a slot that goes to none: of a padding row, or outside the range of experts.
constexpr u16 kNoExpert = 0xffff;

struct Batch {
  u32 bits[kMatrixWords];
  u16 experts[kBlockSlots];
};

// The sum over the threads before this one, and over all. `sums` has a place for each wave, and is free again after the
// next barrier.
ROUTER_INLINE u32 sum_of_threads_before(u32 value, u32* sums, u32* all) {
  const u32 wave = thread_index() / kWaveSize;
  const u32 before = sum_of_lanes_before(value);
  if (thread_index() % kWaveSize == kWaveSize - 1) sums[wave] = before + value;
  block_barrier();
  return before + sum_of_first<kPlanWaves>(sums, wave, all);
}

ROUTER_INLINE void clear_batch(Batch& batch) {
  for (u32 i = thread_index(); i < kMatrixWords; i += kPlanThreads) batch.bits[i] = 0;
}

// Takes a slot into the batch. Ids that name no expert have their high bit set.
ROUTER_INLINE void note_slot(Batch& batch, u32 slot, u32 id) {
  const u32 token = slot / kPlanTopK;
  batch.experts[slot] = id < kPlanExperts ? static_cast<u16>(id) : kNoExpert;
  if (id < kPlanExperts) set_bits(&batch.bits[id * kRowWords + token / 32], 1u << token % 32);
}

// The bits of a word that belong to tokens before this one.
ROUTER_INLINE u32 bits_before(u32 word, u32 token) { return count_bits(word & ((1u << token % 32) - 1)); }

}  // namespace ROUTER_NAMESPACE
#endif
