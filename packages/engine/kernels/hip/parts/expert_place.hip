// Where a block of an expert's product by matrix tiles works.

namespace ROUTER_NAMESPACE {

// What a block works on: tokens of one expert, in the order of the dispatch plan, and a part of its rows. Blocks of the
// same tokens follow each other.
struct ExpertPlace {
  // Negative where there is nothing to do.
  int expert;
  // The first slot in the plan's order, and how many they are.
  int first;
  int count;
  int row;
};

template <int ROWS>
ROUTER_INLINE ExpertPlace expert_place(const i32* list) {
  constexpr int kRowBlocks = (ROWS + kBlockRows - 1) / kBlockRows;
  const int block = static_cast<int>(block_index());
  const int item = block / kRowBlocks;
  if (item >= list[0]) return {-1, 0, 0, 0};
  const i32* entry = list + 4 + 4 * item;
  return {entry[0], entry[1], entry[2], block % kRowBlocks * kBlockRows};
}

}  // namespace ROUTER_NAMESPACE
