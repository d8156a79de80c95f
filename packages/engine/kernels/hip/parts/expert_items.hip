// What a block of an expert kernel works on: an item, which is an expert and up to KERNEL_VECTORS of the slots
// (token * K + k) that chose it, and a part of the expert's rows. Blocks of the same rows follow each other. Items are
// the dispatch plan's, an expert's slots in tiles, in the order of the experts; each block finds its own from the plan's
// offsets, i32 [experts + 1].

namespace ROUTER_NAMESPACE {

constexpr int kExpertsPerLane = (MODEL_EXPERTS + kTeam - 1) / kTeam;

struct ExpertItem {
  // Negative where there is no such item.
  i32 expert;
  // Where its slots begin in the order of the plan, and how many they are.
  i32 begin;
  i32 count;

  // The last one stands in for those that are not there.
  ENGINE_METHOD i32 slot(const i32* sortedSlots, int index) const {
    return sortedSlots[begin + smaller(static_cast<i32>(index), count - 1)];
  }
};

ROUTER_INLINE int tiles_of(i32 slots) { return (slots + KERNEL_VECTORS - 1) / KERNEL_VECTORS; }

// Item `index`, in every thread; there is a barrier in it. `shared` is shared memory.
ROUTER_INLINE ExpertItem expert_item(const i32* offsets, int index, ExpertItem& shared) {
  const int lane = lane_of_team();
  i32 begins[kExpertsPerLane + 1];
#pragma unroll
  for (int i = 0; i <= kExpertsPerLane; i++) {
    begins[i] = load_written(offsets + smaller(lane * kExpertsPerLane + i, MODEL_EXPERTS));
  }
  i32 own = 0;
#pragma unroll
  for (int i = 0; i < kExpertsPerLane; i++) own += tiles_of(begins[i + 1] - begins[i]);
  // Of each aligned block of lanes its items, and those of the block before this lane.
  i32 first = 0;
  i32 total = own;
  const auto add_other_half = [&](i32 other, int step) {
    if ((lane & step) != 0) first += other;
    total += other;
  };
  add_other_half(from_other_half<1>(total), 1);
  add_other_half(from_other_half<2>(total), 2);
  add_other_half(from_other_half<4>(total), 4);
  add_other_half(from_other_half<8>(total), 8);
  add_other_half(from_other_half<16>(total), 16);
  if (team_of_block() == 0) {
    if (lane == 0 && index >= total) shared = {-1, 0, 0};
#pragma unroll
    for (int i = 0; i < kExpertsPerLane; i++) {
      const i32 tile = index - first;
      const i32 slots = begins[i + 1] - begins[i];
      if (tile >= 0 && tile < tiles_of(slots)) {
        shared = {lane * kExpertsPerLane + i, begins[i] + tile * KERNEL_VECTORS,
                  smaller(slots - tile * KERNEL_VECTORS, KERNEL_VECTORS)};
      }
      first += tiles_of(slots);
    }
  }
  block_barrier();
  return shared;
}

}  // namespace ROUTER_NAMESPACE
