// Rows of numbers as the products of many of them read them (dense_terms_groups.hip): two bf16 terms of each, together 16 of
// its bits, in blocks of eight rows, of which each piece of 32 columns lies together, term by term.

namespace ROUTER_NAMESPACE {

constexpr int kRowsOfTerms = 8;
constexpr int kColumnsOfTerms = 32;
// Of a piece: of one term, and of both.
constexpr int kTermBytes = kRowsOfTerms * kColumnsOfTerms * 2;
constexpr int kPieceBytes = 2 * kTermBytes;

// Where the first term of the eight columns from `column` on is, in bytes; the second is kTermBytes further on.
template <int COLUMNS>
ROUTER_INLINE u64 place_of_terms(int row, int column) {
  const int piece = row / kRowsOfTerms * (COLUMNS / kColumnsOfTerms) + column / kColumnsOfTerms;
  return static_cast<u64>(piece) * kPieceBytes + row % kRowsOfTerms * (kColumnsOfTerms * 2) + column % kColumnsOfTerms * 2;
}

}  // namespace ROUTER_NAMESPACE
