// The dispatch plan in launches of its own, from the ids of a routing launch before: what this package did until its
// router made the plan, kept to compare with. A stable counting sort: every wave owns a run of slots and walks it in
// order.
//
//   few slots:  single                  one block counts, scans and scatters
//   many:       count, scan, scatter    workspace[block][expert] holds counts, then first positions

namespace ROUTER_NAMESPACE {

constexpr u32 kExperts = ROUTER_EXPERTS;
constexpr u32 kThreads = 256;
constexpr u32 kWave = kWaveSize;
constexpr u32 kWaves = kThreads / kWave;
constexpr u32 kExpertsPerThread = (kExperts + kThreads - 1) / kThreads;

// The expert of a slot; kExperts or more where the slot belongs to none.
ROUTER_INLINE u32 expert_of_slot(const void* ids, u32 slot) {
#if ROUTER_IDS_BYTES == 8
  const i64 id = static_cast<const i64*>(ids)[slot];
  return id < 0 ? kExperts : static_cast<u32>(id);
#else
  return static_cast<const u32*>(ids)[slot];
#endif
}

// The part of [begin, end) that a wave owns.
struct Run {
  u32 begin;
  u32 end;
};

ROUTER_INLINE Run run_of_wave(u32 begin, u32 end, u32 wave) {
  const u32 length = (end - begin + kWaves - 1) / kWaves;
  const u32 first = smaller(begin + wave * length, end);
  return {first, smaller(first + length, end)};
}

// Counts the slots of each wave's run: counts[wave][expert].
ROUTER_INLINE void count_by_wave(const void* ids, u32 begin, u32 end, u32 (*counts)[kExperts]) {
  const u32 wave = thread_index() / kWave;
  for (u32 i = thread_index(); i < kWaves * kExperts; i += kThreads) (&counts[0][0])[i] = 0;
  block_barrier();
  const Run run = run_of_wave(begin, end, wave);
  for (u32 slot = run.begin + thread_index() % kWave; slot < run.end; slot += kWave) {
    const u32 expert = expert_of_slot(ids, slot);
    if (expert < kExperts) add_to(&counts[wave][expert], 1);
  }
  block_barrier();
}

// Writes each slot of each wave's run to its place. positions[wave][expert]: where the wave's first slot of the expert
// goes; moved on as slots are placed.
ROUTER_INLINE void scatter_by_wave(const void* ids, u32 begin, u32 end, u32 (*positions)[kExperts], i32* sortedSlots) {
  const u32 wave = thread_index() / kWave;
  const u32 lane = thread_index() % kWave;
  const LaneMask lower = (static_cast<LaneMask>(1) << lane) - 1;
  const Run run = run_of_wave(begin, end, wave);
  for (u32 first = run.begin; first < run.end; first += kWave) {
    const u32 slot = first + lane;
    const u32 expert = slot < run.end ? expert_of_slot(ids, slot) : kExperts;
    const bool isPlaced = expert < kExperts;
    // The lanes that place a slot of the same expert.
    LaneMask same = ballot(isPlaced);
#pragma unroll
    for (u32 bit = 1; bit < kExperts; bit *= 2) {
      const LaneMask set = ballot((expert & bit) != 0);
      same &= (expert & bit) != 0 ? set : ~set;
    }
    const u32 before = count_bits(same & lower);
    const u32 position = isPlaced ? positions[wave][expert] + before : 0;
    wave_barrier();
    if (isPlaced) {
      sortedSlots[position] = static_cast<i32>(slot);
      if (before == 0) positions[wave][expert] += count_bits(same);
    }
    wave_barrier();
  }
}

// The sum of `value` over the threads before this one.
ROUTER_INLINE u32 sum_before(u32 value, u32* sums) {
  const u32 thread = thread_index();
  sums[thread] = value;
  for (u32 distance = 1; distance < kThreads; distance *= 2) {
    block_barrier();
    const u32 other = thread >= distance ? sums[thread - distance] : 0;
    block_barrier();
    sums[thread] += other;
  }
  return sums[thread] - value;
}

// Writes expertOffsets, given the total of each of this thread's experts, and turns the totals into first positions.
ROUTER_INLINE void write_offsets(u32* totals, u32* sums, i32* expertOffsets) {
  u32 own = 0;
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) own += totals[i];
  u32 next = sum_before(own, sums);
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    const u32 expert = thread_index() * kExpertsPerThread + i;
    const u32 total = totals[i];
    totals[i] = next;
    if (expert < kExperts) expertOffsets[expert] = static_cast<i32>(next);
    next += total;
    if (expert == kExperts - 1) expertOffsets[kExperts] = static_cast<i32>(next);
  }
}

// Slots past the last expert's are -1.
ROUTER_INLINE void fill_unused(u32 begin, u32 end, u32 used, i32* sortedSlots) {
  for (u32 i = larger(begin, used) + thread_index(); i < end; i += kThreads) sortedSlots[i] = -1;
}

#define ROUTER_JOIN_NAMES(a, b) a##b
#define ROUTER_JOIN(a, b) ROUTER_JOIN_NAMES(a, b)
#define ROUTER_PLAN_KERNEL(name) \
  extern "C" __global__ void ROUTER_LAUNCH_BOUNDS(256) ROUTER_JOIN(plan_apart_##name##_, ROUTER_PLAN_SUFFIX)

ROUTER_PLAN_KERNEL(single)
(const void* __restrict__ ids, i32* __restrict__ expertOffsets, i32* __restrict__ sortedSlots, u32* __restrict__,
 u32 slots, u32, u32) {
  __shared__ u32 counts[kWaves][kExperts];
  __shared__ u32 sums[kThreads];
  count_by_wave(ids, 0, slots, counts);
  u32 totals[kExpertsPerThread];
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    const u32 expert = thread_index() * kExpertsPerThread + i;
    totals[i] = 0;
    for (u32 wave = 0; wave < kWaves; wave++) totals[i] += expert < kExperts ? counts[wave][expert] : 0;
  }
  write_offsets(totals, sums, expertOffsets);
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    const u32 expert = thread_index() * kExpertsPerThread + i;
    for (u32 wave = 0; wave < kWaves && expert < kExperts; wave++) {
      const u32 count = counts[wave][expert];
      counts[wave][expert] = totals[i];
      totals[i] += count;
    }
  }
  block_barrier();
  fill_unused(0, slots, sums[kThreads - 1], sortedSlots);
  scatter_by_wave(ids, 0, slots, counts, sortedSlots);
}

ROUTER_PLAN_KERNEL(count)
(const void* __restrict__ ids, i32* __restrict__, i32* __restrict__, u32* __restrict__ workspace, u32 slots,
 u32 slotsPerBlock, u32) {
  __shared__ u32 counts[kExperts];
  for (u32 expert = thread_index(); expert < kExperts; expert += kThreads) counts[expert] = 0;
  block_barrier();
  const u32 begin = block_index() * slotsPerBlock;
  const u32 end = smaller(begin + slotsPerBlock, slots);
  for (u32 slot = begin + thread_index(); slot < end; slot += kThreads) {
    const u32 expert = expert_of_slot(ids, slot);
    if (expert < kExperts) add_to(&counts[expert], 1);
  }
  block_barrier();
  for (u32 expert = thread_index(); expert < kExperts; expert += kThreads) {
    workspace[static_cast<u64>(block_index()) * kExperts + expert] = counts[expert];
  }
}

ROUTER_PLAN_KERNEL(scan)
(const void* __restrict__, i32* __restrict__ expertOffsets, i32* __restrict__, u32* __restrict__ workspace, u32, u32,
 u32 blocks) {
  __shared__ u32 sums[kThreads];
  u32 totals[kExpertsPerThread];
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    const u32 expert = thread_index() * kExpertsPerThread + i;
    totals[i] = 0;
    if (expert >= kExperts) continue;
#pragma unroll 8
    for (u32 block = 0; block < blocks; block++) totals[i] += workspace[static_cast<u64>(block) * kExperts + expert];
  }
  write_offsets(totals, sums, expertOffsets);
#pragma unroll
  for (u32 i = 0; i < kExpertsPerThread; i++) {
    const u32 expert = thread_index() * kExpertsPerThread + i;
    if (expert >= kExperts) continue;
#pragma unroll 8
    for (u32 block = 0; block < blocks; block++) {
      const u64 place = static_cast<u64>(block) * kExperts + expert;
      const u32 count = workspace[place];
      workspace[place] = totals[i];
      totals[i] += count;
    }
  }
}

ROUTER_PLAN_KERNEL(scatter)
(const void* __restrict__ ids, i32* __restrict__ expertOffsets, i32* __restrict__ sortedSlots,
 u32* __restrict__ workspace, u32 slots, u32 slotsPerBlock, u32) {
  __shared__ u32 counts[kWaves][kExperts];
  const u32 begin = block_index() * slotsPerBlock;
  const u32 end = smaller(begin + slotsPerBlock, slots);
  count_by_wave(ids, begin, end, counts);
  for (u32 expert = thread_index(); expert < kExperts; expert += kThreads) {
    u32 next = workspace[static_cast<u64>(block_index()) * kExperts + expert];
    for (u32 wave = 0; wave < kWaves; wave++) {
      const u32 count = counts[wave][expert];
      counts[wave][expert] = next;
      next += count;
    }
  }
  block_barrier();
  fill_unused(begin, end, static_cast<u32>(expertOffsets[kExperts]), sortedSlots);
  scatter_by_wave(ids, begin, end, counts, sortedSlots);
}

#undef ROUTER_PLAN_KERNEL
#undef ROUTER_JOIN
#undef ROUTER_JOIN_NAMES

}  // namespace ROUTER_NAMESPACE
