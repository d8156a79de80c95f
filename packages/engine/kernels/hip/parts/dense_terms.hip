// Rows of numbers as the products of many of them read them (dense_terms_groups.hip): two bf16 terms of each, together 16 of
// its bits, in blocks of eight rows, of which each piece of 32 columns lies together, term by term. In a row of a piece, what
// the four lanes that share it give to a product at once lies together: of eight columns of each lane, pairs of the same number.

namespace ROUTER_NAMESPACE {

constexpr int kRowsOfTerms = 8;
constexpr int kColumnsOfTerms = 32;
// Of a piece: of one term, and of both.
constexpr int kTermBytes = kRowsOfTerms * kColumnsOfTerms * 2;
constexpr int kPieceBytes = 2 * kTermBytes;

// Stores the eight columns of a row from `column` on, in both terms.
template <int COLUMNS>
ROUTER_INLINE void store_dense_terms(u8* terms, int row, int column, const DenseTerms& eight) {
  const int piece = row / kRowsOfTerms * (COLUMNS / kColumnsOfTerms) + column / kColumnsOfTerms;
  const int lane = column % kColumnsOfTerms / kLaneColumns;
  u8* to = terms + static_cast<u64>(piece) * kPieceBytes;
#pragma unroll
  for (int term = 0; term < kDenseTerms; term++) {
    const u32 pairs[4] = {eight.words[term].x, eight.words[term].y, eight.words[term].z, eight.words[term].w};
#pragma unroll
    for (int pair = 0; pair < 4; pair++) {
      Words4* granule = reinterpret_cast<Words4*>(to + term * kTermBytes) + eight_granule(row % kRowsOfTerms, pair);
      reinterpret_cast<u32*>(granule)[lane] = pairs[pair];
    }
  }
}

}  // namespace ROUTER_NAMESPACE
