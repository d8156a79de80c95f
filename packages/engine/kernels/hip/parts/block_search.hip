// Searches of a block over whole numbers that belong to ids or to digits: which of them has unit number `target` when all
// units are counted in order, from 0. Sums of whole numbers are exact, so that nothing depends on who adds what.

namespace ROUTER_NAMESPACE {

constexpr int kDigits = 2048;
// Counters of a digit: 12 bits of each number go to each, so that no sum over a vocabulary overflows.
constexpr int kCounterParts = 3;
constexpr u32 kCounterBits = 12;

struct SearchMemory {
  u64 threads[kThreads];
  u64 teams[kTeams];
  u32 counters[kCounterParts][kDigits];
  u32 found;
  u64 before;
  u64 own;
};

template <int STEP = 1>
ROUTER_INLINE u64 team_total(u64 value) {
  if constexpr (STEP >= kTeam) {
    return value;
  } else {
    return team_total<STEP * 2>(value + static_cast<u64>(from_other_half<STEP>(static_cast<i64>(value))));
  }
}

// The sum of a number of each thread, in every thread.
ROUTER_INLINE u64 block_total(u64 value, SearchMemory& memory) {
  block_barrier();
  value = team_total(value);
  if (lane_of_team() == 0) memory.teams[team_of_block()] = value;
  block_barrier();
  u64 total = 0;
#pragma unroll 1
  for (int team = 0; team < kTeams; team++) total += memory.teams[team];
  return total;
}

// Threads' numbers in the order of the threads: whether unit `target` is this thread's, and what the threads before have.
struct FoundUnit {
  bool isHere;
  u64 before;
};

ROUTER_INLINE FoundUnit find_unit(u64 own, u64 target, SearchMemory& memory) {
  block_barrier();
  const u64 total = team_total(own);
  memory.threads[thread_index()] = own;
  if (lane_of_team() == 0) memory.teams[team_of_block()] = total;
  block_barrier();
  FoundUnit found = {false, 0};
#pragma unroll 1
  for (int team = 0; team < team_of_block(); team++) found.before += memory.teams[team];
  if (target >= found.before && target - found.before < total) {
    const int first = team_of_block() * kTeam;
#pragma unroll 1
    for (int lane = 0; lane < lane_of_team(); lane++) found.before += memory.threads[first + lane];
    found.isHere = target >= found.before && target - found.before < own;
  }
  return found;
}

// A row of logits as the teams share it: each has neighbouring ids, which its lanes read four at a time.
struct LogitRow {
  const float* logits;
  u32 count;

  ENGINE_METHOD u32 ids_of_team() const {
    constexpr u32 kIdsAtOnce = kTeam * 4;
    return (count + kTeams * kIdsAtOnce - 1) / (kTeams * kIdsAtOnce) * kIdsAtOnce;
  }

  // Calls `visit(id, logit)` for each id, in no order that matters.
  template <class Visit>
  ENGINE_METHOD void each(Visit visit) const {
    const u32 first = static_cast<u32>(team_of_block()) * ids_of_team();
    const u32 end = smaller(first + ids_of_team(), count);
    for (u32 id = first + static_cast<u32>(lane_of_team()) * 4; id < end; id += kTeam * 4) {
      float values[4];
      load_four(logits + id, values);
#pragma unroll
      for (u32 i = 0; i < 4; i++) {
        if (id + i < end) visit(id + i, values[i]);
      }
    }
  }

  // The sum of `amount(id, logit)` over all ids, in every thread. The teams' own sums are left in memory.
  template <class Amount>
  ENGINE_METHOD u64 total(Amount amount, SearchMemory& memory) const {
    u64 own = 0;
    each([&](u32 id, float logit) { own += amount(id, logit); });
    return block_total(own, memory);
  }

  // The id that has unit `target` of the amounts in the order of ids. `total` of these amounts comes before.
  template <class Amount>
  ENGINE_METHOD u32 locate(Amount amount, u64 target, SearchMemory& memory) const {
    u32 team = 0;
    while (team < kTeams - 1 && target >= memory.teams[team]) target -= memory.teams[team++];
    const u32 perThread = (ids_of_team() + kThreads - 1) / kThreads;
    const u32 end = smaller((team + 1) * ids_of_team(), count);
    const u32 first = smaller(team * ids_of_team() + thread_index() * perThread, end);
    const u32 last = smaller(first + perThread, end);
    u64 own = 0;
#pragma unroll 1
    for (u32 id = first; id < last; id++) own += amount(id, logits[id]);
    const FoundUnit found = find_unit(own, target, memory);
    if (found.isHere) {
      u64 sum = found.before;
#pragma unroll 1
      for (u32 id = first; id < last && sum <= target; id++) {
        sum += amount(id, logits[id]);
        memory.found = id;
      }
    }
    block_barrier();
    return memory.found;
  }

  // The key that has unit `target` of the amounts in the order of falling keys. What larger keys have is left in
  // `before`, what this one has in `own`. Digit by digit: the most significant first.
  template <class Amount>
  ENGINE_METHOD u32 select(Amount amount, u64 target, SearchMemory& memory, u64& before, u64& own) const {
    u32 prefix = 0;
    before = 0;
#pragma unroll 1
    for (int pass = 0; pass < 3; pass++) {
      const u32 shift = pass == 0 ? 21 : pass == 1 ? 10 : 0;
      const u32 width = pass == 2 ? 10 : 11;
      block_barrier();
#pragma unroll 1
      for (u32 i = thread_index(); i < kCounterParts * kDigits; i += kThreads) (&memory.counters[0][0])[i] = 0;
      block_barrier();
      each([&](u32 id, float logit) {
        const u32 key = key_of_logit(logit);
        if (pass != 0 && key >> (shift + width) != prefix) return;
        const u64 units = amount(id, logit);
        const u32 digit = (key >> shift) & ((1u << width) - 1);
#pragma unroll
        for (int part = 0; part < kCounterParts; part++) {
          const u32 bits = static_cast<u32>(units >> (part * kCounterBits)) & ((1u << kCounterBits) - 1);
          if (bits != 0) add_to(&memory.counters[part][digit], bits);
        }
      });
      block_barrier();
      // Threads take digits from the highest down.
      const auto units_of = [&](u32 place) {
        const u32 digit = (1u << width) - 1 - place;
        u64 sum = 0;
#pragma unroll
        for (int part = 0; part < kCounterParts; part++) {
          sum += static_cast<u64>(memory.counters[part][digit]) << (part * kCounterBits);
        }
        return sum;
      };
      const u32 perThread = ((1u << width) + kThreads - 1) / kThreads;
      u64 mine = 0;
#pragma unroll 1
      for (u32 i = 0; i < perThread; i++) mine += units_of(thread_index() * perThread + i);
      const FoundUnit found = find_unit(mine, target - before, memory);
      if (found.isHere) {
        u64 sum = found.before;
#pragma unroll 1
        for (u32 i = 0; i < perThread; i++) {
          const u32 place = thread_index() * perThread + i;
          const u64 units = units_of(place);
          if (target - before - sum < units) {
            memory.found = (1u << width) - 1 - place;
            memory.before = sum;
            memory.own = units;
            break;
          }
          sum += units;
        }
      }
      block_barrier();
      prefix = prefix << width | memory.found;
      before += memory.before;
      own = memory.own;
    }
    block_barrier();
    return prefix;
  }
};

}  // namespace ROUTER_NAMESPACE
