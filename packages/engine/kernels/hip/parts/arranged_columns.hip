// Rows of numbers as products by row groups read them (expert_row_groups.hip): in the order in which lanes unpack an MXFP4 matrix.
// Of every four blocks of 32 columns, a lane of four has one. A step of 32 numbers are the columns of one word of codes, eight, of
// each of the four blocks, and of them pairs as the words have them in their halves. Behind the last block there are zeros.

namespace ROUTER_NAMESPACE {

constexpr int kFourColumns = 128;

// Numbers of a row of COLUMNS columns, those behind the last one included.
template <int COLUMNS>
constexpr int kArrangedColumns = (COLUMNS + kFourColumns - 1) / kFourColumns * kFourColumns;

// Where the first pair of the eight columns of a word of a block is, counted in words of a term; the other three follow
// kPairDistance apart.
constexpr int kPairDistance = 4;
ROUTER_INLINE int arranged_place(int block, int word) {
  return block / 4 * (kFourColumns / 2) + word * 16 + block % 4;
}

// Stores the eight values from column `column` on, which eight divides, in TERMS terms of a row of COLUMNS columns.
template <int TERMS, int COLUMNS>
ROUTER_INLINE void store_arranged_eight(u32* row, int column, const float* values) {
  // As halves of a word of codes: those of columns 3, 4, 5 and 7 are the low ones.
  float left[4][2] = {{values[3], values[0]}, {values[4], values[1]}, {values[5], values[2]}, {values[7], values[6]}};
  u32* to = row + arranged_place(column / 32, column % 32 / 8);
#pragma unroll
  for (int term = 0; term < TERMS; term++) {
#pragma unroll
    for (int pair = 0; pair < 4; pair++) {
      to[term * (kArrangedColumns<COLUMNS> / 2) + pair * kPairDistance] = take_pair(left[pair]);
    }
  }
}

}  // namespace ROUTER_NAMESPACE
