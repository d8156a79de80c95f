// A batch of tokens, whose slots one block sorts by expert in shared memory.
//
// A bit matrix has a row for each expert and a column for each token of the batch; a bit says that the token goes to the
// expert. A token goes to an expert once at most, so the bits, row after row, are the slots in the order of the plan: the
// number of bits before a slot's own is where the slot goes. No timing of threads shows in it.

#if ROUTER_PLAN
namespace ROUTER_NAMESPACE {

constexpr u32 kPlanExperts = ROUTER_EXPERTS;
constexpr u32 kPlanTopK = ROUTER_TOP_K;
constexpr u32 kPlanThreads = ROUTER_THREADS;
constexpr u32 kPlanWaves = (kPlanThreads + kWaveSize - 1) / kWaveSize;
static_assert(kPlanThreads % kWaveSize == 0, "every wave of a block is whole");

constexpr u32 kBatchTokens = ROUTER_BATCH_TOKENS;
constexpr u32 kBatchSlots = kBatchTokens * kPlanTopK;
static_assert(kBatchSlots < 65536, "slots of a batch are 16-bit");
// Odd, so that the rows of neighbouring experts begin in different banks of shared memory.
constexpr u32 kRowWords = (kBatchTokens + 31) / 32 | 1;
constexpr u32 kMatrixWords = kPlanExperts * kRowWords;

// The expert of a slot that goes to none: of a padding row, or outside the range of experts.
constexpr u16 kNoExpert = 0xffff;

struct Batch {
  u32 bits[kMatrixWords];
  u16 before[kMatrixWords + 1];  // bits set in the words before each, and in all
  u16 experts[kBatchSlots];
  u16 slots[kBatchSlots];        // sorted
};

// The sum over the threads before this one, and over all. `sums` has a place for each wave, and is free again after the
// next barrier.
ROUTER_INLINE u32 sum_of_threads_before(u32 value, u32* sums, u32* all) {
  const u32 wave = thread_index() / kWaveSize;
  u32 before = sum_of_lanes_before(value);
  if (thread_index() % kWaveSize == kWaveSize - 1) sums[wave] = before + value;
  block_barrier();
  u32 total = 0;
#pragma unroll
  for (u32 other = 0; other < kPlanWaves; other++) {
    before += other < wave ? sums[other] : 0;
    total += sums[other];
  }
  *all = total;
  return before;
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

// Counts the bits before each word, once every slot is noted. A barrier must follow.
ROUTER_INLINE void rank_batch(Batch& batch, u32* sums) {
  // Odd as well: threads read their words one after the other.
  constexpr u32 kRun = (kMatrixWords + kPlanThreads - 1) / kPlanThreads | 1;
  const u32 first = thread_index() * kRun;
  u32 own = 0;
#pragma unroll
  for (u32 i = 0; i < kRun; i++) own += first + i < kMatrixWords ? count_bits(batch.bits[first + i]) : 0;
  u32 all;
  u32 next = sum_of_threads_before(own, sums, &all);
#pragma unroll
  for (u32 i = 0; i < kRun; i++) {
    if (first + i >= kMatrixWords) break;
    batch.before[first + i] = static_cast<u16>(next);
    next += count_bits(batch.bits[first + i]);
  }
  if (thread_index() == 0) batch.before[kMatrixWords] = static_cast<u16>(all);
}

// Sorts the slots, of which there are `count`. Barriers must go before and follow.
ROUTER_INLINE void sort_batch(Batch& batch, u32 count) {
  for (u32 slot = thread_index(); slot < count; slot += kPlanThreads) {
    const u32 expert = batch.experts[slot];
    if (expert == kNoExpert) continue;
    const u32 token = slot / kPlanTopK;
    const u32 word = expert * kRowWords + token / 32;
    const u32 place = batch.before[word] + count_bits(batch.bits[word] & ((1u << token % 32) - 1));
    batch.slots[place] = static_cast<u16>(slot);
  }
}

// The slots of an expert in the batch.
ROUTER_INLINE u32 slots_of_expert(const Batch& batch, u32 expert) {
  return batch.before[(expert + 1) * kRowWords] - batch.before[expert * kRowWords];
}

}  // namespace ROUTER_NAMESPACE
#endif
