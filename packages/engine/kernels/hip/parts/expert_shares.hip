// How the work of the listed experts is shared out among the blocks of a launch, as many as the device runs at once: none
// waits for another, and a block reads the vectors of an expert once for many of its rows.
//
// An expert's slots (token * K + k), which the dispatch plan has in its order, are divided evenly into tiles of up to
// KERNEL_VECTORS; a tile's rows into steps of a group for each squad of eight teams. A step costs the more the more
// products it has, and a block's share is what lies in its part of the cost of all. Which block computes a row changes no
// bit of it.

namespace ROUTER_NAMESPACE {

constexpr int kSquads = kTeams / kGroupTeams;
static_assert(KERNEL_VECTORS % kProductVectors == 0, "tiles are whole products");

ROUTER_INLINE int squad_of_block() { return team_of_block() / kGroupTeams; }

ROUTER_INLINE int products_of(int slots) { return (slots + kProductVectors - 1) / kProductVectors; }
// What a step costs beside reading its weights, which every step does. Found by trying on an H200.
ROUTER_INLINE int step_cost(int products) { return KERNEL_STEP_COST + products; }

// Some steps of a tile.
struct ExpertShare {
  i32 expert;
  // Where its slots begin in the order of the plan, and how many they are.
  i32 begin;
  i32 count;
  i32 firstStep;
  i32 endStep;
};

// Shares that a block finds at once: others follow when those are done.
constexpr int kMostShares = 32;

// In shared memory.
struct ShareMemory {
  i32 offsets[MODEL_EXPERTS + 1];
  // Of the experts before each one.
  i32 costs[MODEL_EXPERTS + 1];
  i32 next;
  ExpertShare shares[kMostShares];
  i32 count;
};

// The shares of a block, one after the other. Every thread has the same; whole blocks call.
template <int STEPS>
struct BlockShares {
  ShareMemory* memory;
  i32 position;
  i32 end;

  static ENGINE_METHOD int tiles_of(int slots) { return (slots + KERNEL_VECTORS - 1) / KERNEL_VECTORS; }
  // Of the largest tile.
  static ENGINE_METHOD int step_cost_of(int slots, int tiles) {
    return step_cost(products_of((slots + tiles - 1) / tiles));
  }

  // `offsets` are the plan's, i32 [experts + 1]; `blocks` share the work.
  ENGINE_METHOD void begin(const i32* offsets, u32 blocks, ShareMemory* shared) {
    memory = shared;
    const int thread = static_cast<int>(thread_index());
    if (thread <= MODEL_EXPERTS) memory->offsets[thread] = load_written(offsets + thread);
    block_barrier();
    // A wave: each lane's experts follow each other.
    if (team_of_block() == 0) {
      constexpr int kPerLane = (MODEL_EXPERTS + kTeam - 1) / kTeam;
      const int lane = lane_of_team();
      i32 costs[kPerLane];
      i32 own = 0;
#pragma unroll
      for (int i = 0; i < kPerLane; i++) {
        const int expert = smaller(lane * kPerLane + i, MODEL_EXPERTS - 1);
        const i32 slots = memory->offsets[expert + 1] - memory->offsets[expert];
        const i32 tiles = tiles_of(slots);
        costs[i] = slots == 0 || lane * kPerLane + i >= MODEL_EXPERTS ? 0 : tiles * STEPS * step_cost_of(slots, tiles);
        own += costs[i];
      }
      // Of each aligned block of lanes its cost, and that of those of the block before this lane.
      i32 before = 0;
      i32 total = own;
      const auto add_other_half = [&](i32 other, int step) {
        if ((lane & step) != 0) before += other;
        total += other;
      };
      add_other_half(from_other_half<1>(total), 1);
      add_other_half(from_other_half<2>(total), 2);
      add_other_half(from_other_half<4>(total), 4);
      add_other_half(from_other_half<8>(total), 8);
      add_other_half(from_other_half<16>(total), 16);
#pragma unroll
      for (int i = 0; i < kPerLane; i++) {
        if (lane * kPerLane + i < MODEL_EXPERTS) memory->costs[lane * kPerLane + i] = before;
        before += costs[i];
      }
      if (lane == 0) memory->costs[MODEL_EXPERTS] = total;
    }
    block_barrier();
    const u64 all = static_cast<u64>(memory->costs[MODEL_EXPERTS]);
    position = static_cast<i32>(all * block_index() / blocks);
    end = static_cast<i32>(all * (block_index() + 1) / blocks);
  }

  // Finds the next shares; false where there are no more. There are barriers in it.
  ENGINE_METHOD bool find() {
    const int thread = static_cast<int>(thread_index());
    int count = 0;
    while (position < end && count < kMostShares) {
      if (thread < MODEL_EXPERTS && memory->costs[thread] <= position && position < memory->costs[thread + 1]) {
        const i32 first = memory->offsets[thread];
        const i32 slots = memory->offsets[thread + 1] - first;
        const i32 tiles = tiles_of(slots);
        const i32 cost = step_cost_of(slots, tiles);
        const i32 ofExpert = position - memory->costs[thread];
        const i32 tile = ofExpert / (STEPS * cost);
        const i32 ofTile = ofExpert % (STEPS * cost);
        const i32 endOfTile = smaller(STEPS * cost, ofTile + end - position);
        const i32 begin = slots * tile / tiles;
        // Where it begins in the last step of a tile, that one is the block's before, and the place is the next share's.
        memory->shares[count] = {thread, first + begin, slots * (tile + 1) / tiles - begin, (ofTile + cost - 1) / cost,
                                 (endOfTile + cost - 1) / cost};
        memory->next = position + endOfTile - ofTile;
      }
      block_barrier();
      position = memory->next;
      const ExpertShare& found = memory->shares[count];
      if (found.firstStep < found.endStep) count++;
      block_barrier();
    }
    if (thread == 0) memory->count = count;
    block_barrier();
    return count > 0;
  }
};

}  // namespace ROUTER_NAMESPACE
