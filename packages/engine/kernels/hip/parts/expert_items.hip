// What a block of an expert kernel works on: an item, which is an expert and up to KERNEL_VECTORS of the slots
// (token * K + k) that chose it, and a part of the expert's rows. Blocks of the same rows follow each other. Items are
// those of the list that expert_list.hip writes, over the dispatch plan's order.

namespace ROUTER_NAMESPACE {

struct ExpertItem {
  // Negative where there is no such item.
  int expert;
  int count;
  int slots[KERNEL_VECTORS];

  // Slot `index`, which differs from lane to lane.
  ENGINE_METHOD int slot(int index) const {
    int own = slots[0];
#pragma unroll
    for (int i = 1; i < KERNEL_VECTORS; i++) own = index == i ? slots[i] : own;
    return own;
  }
};

ROUTER_INLINE ExpertItem expert_item(const i32* list, const i32* sortedSlots, int index) {
  ExpertItem item;
  if (index >= list[0]) {
    item.expert = -1;
    item.count = 0;
    return item;
  }
  const i32* entry = list + 4 + 4 * index;
  item.expert = entry[0];
  item.count = entry[2];
#pragma unroll
  for (int i = 0; i < KERNEL_VECTORS; i++) item.slots[i] = sortedSlots[entry[1] + smaller(i, item.count - 1)];
  return item;
}

}  // namespace ROUTER_NAMESPACE
